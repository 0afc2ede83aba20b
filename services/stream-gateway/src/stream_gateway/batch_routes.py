"""`/api/streaming/batches`: several plans in one request, over one stream, and cancelled together."""

import asyncio
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.bodies import JsonModel, parse_model, require_json
from common.contracts.errors import ErrorCode
from common.contracts.internal import IDEMPOTENCY_HEADER
from common.contracts.public import Batch, BatchItem, BatchOutcome, BatchPlan, BatchRequest, BatchStarted
from common.problems import ApiError
from stream_gateway.answer_headers import NO_STORE
from stream_gateway.batch_feed import BatchFeed, Member
from stream_gateway.cursor import Cursor, Vector
from stream_gateway.endpoints import STREAMING, last_event_id
from stream_gateway.first_word import connected, first_word
from stream_gateway.formats import HEADERS, PLAIN
from stream_gateway.frame import as_sse
from stream_gateway.services import Services, services_of
from stream_gateway.sessions import Session
from stream_gateway.viewer import Mode

_BATCHES: Final = f"{STREAMING}/batches"


def batch_routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route(_BATCHES, start, methods=["POST"]),
        Route(f"{_BATCHES}/{{batch_id}}", cancel, methods=["DELETE"]),
        Route(f"{_BATCHES}/{{batch_id}}/events", events, methods=["GET"]),
    ]


async def start(request: Request) -> Response:
    """POST batches: what became of each preferenceId, and where to watch."""
    services = services_of(request)
    identity, body = await services.door.enter_with_body(request)
    require_json(request)
    asked = parse_model(body, BatchRequest)
    if asked.user_id is not None and asked.user_id != identity.user_id:
        raise ApiError(ErrorCode.FORBIDDEN, "userId must be your own.")
    batch = await services.batches.start(asked, identity.user_id, request.headers.get(IDEMPOTENCY_HEADER))
    return batch if isinstance(batch, Response) else _accepted(batch)


def _accepted(batch: Batch) -> Response:
    events_url = f"{_BATCHES}/{batch.batch_id}/events"
    reply = BatchStarted(batch_id=batch.batch_id, events_url=events_url, plans=[_line(item) for item in batch.items])
    content = reply.model_dump_json(by_alias=True, exclude_none=True)
    return Response(content, 202, {**NO_STORE, "Location": events_url}, "application/json")


def _line(item: BatchItem) -> BatchPlan:
    if item.plan_id is None:
        return BatchPlan(preference_id=item.preference_id, error=item.error)
    return BatchPlan(
        preference_id=item.preference_id,
        plan_id=item.plan_id,
        events_url=f"{STREAMING}/events/{item.plan_id}",
        status_url=f"{STREAMING}/status/{item.plan_id}",
    )


async def events(request: Request) -> Response:
    """GET events: watch all plans of a batch, or resume all."""
    services = services_of(request)
    identity = await services.door.enter(request)
    batch = await services.batches.require(request.path_params["batch_id"], identity.user_id)
    if request.method == "HEAD":
        return Response(headers=HEADERS)
    vector = Vector.parse(last_event_id(request), len(batch.plan_ids))
    mode: Mode = "snapshots" if request.query_params.get("mode") == "snapshot" else "deltas"
    place = services.sessions.take_place(identity.user_id)
    session = services.sessions.open(place, identity)
    try:
        return await _resume(services, session, batch, vector, mode)
    except BaseException:
        session.close()
        raise


async def _resume(services: Services, session: Session, batch: Batch, vector: Vector, mode: Mode) -> Response:
    pairs = zip(batch.plan_ids, vector.cursors, strict=True)
    # Together they fail, so that none joins a session that is closed.
    async with asyncio.TaskGroup() as group:
        joining = [group.create_task(_join(services, session, plan_id, cursor, mode)) for plan_id, cursor in pairs]
    members = [task.result() for task in joining]
    opening = []
    held = True
    for member, cursor in zip(members, vector.cursors, strict=True):
        if member.watch is not None and not member.watch.channel.holds_end(cursor):
            channel = member.watch.channel
            held = False
            opening.append(connected(channel.plan_id, channel.status, channel.phase).encoded(as_sse))
    if held and vector.ended:
        session.stop("ended")
        session.close()
        return Response(status_code=204, headers=NO_STORE)
    feed = BatchFeed(batch.batch_id, members, vector, session.wake)
    return services.sessions.stream(session, feed, b"".join(opening), PLAIN)


async def _join(services: Services, session: Session, plan_id: UUID, cursor: Cursor | None, mode: Mode) -> Member:
    user_id = session.identity.user_id
    if await services.batches.is_deleted(plan_id, user_id):
        return Member(plan_id, None)
    watch = session.join(plan_id, cursor, mode)
    try:
        await first_word(watch.channel, services.ownership, user_id)
    except ApiError:
        session.leave(watch)
        return Member(plan_id, None)
    return Member(plan_id, watch)


async def cancel(request: Request) -> Response:
    """DELETE a batch: every plan's final status, or 202 when one is not confirmed in time."""
    services = services_of(request)
    identity, _ = await services.door.enter_with_body(request)
    batch = await services.batches.require(request.path_params["batch_id"], identity.user_id)
    plans = await services.batches.cancel(batch)
    settled = all(plan.status != "cancelling" for plan in plans)
    return JsonModel(BatchOutcome(batch_id=batch.batch_id, plans=plans), 200 if settled else 202)
