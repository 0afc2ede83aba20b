"""HTTP in and out, nothing else."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.bodies import JsonModel, parse_model, require_json
from common.contracts.errors import ErrorCode
from common.contracts.events import Phase, PlanStatus
from common.contracts.internal import IDEMPOTENCY_HEADER, AdmissionRequest, Admitted, StartRequest
from common.contracts.messages import OnDisconnect
from common.generator_client import GeneratorUnavailableError, generators_unavailable
from common.problems import ApiError
from stream_gateway.answer_headers import NO_STORE
from stream_gateway.auth import Identity
from stream_gateway.cursor import Cursor
from stream_gateway.feed import PlanFeed
from stream_gateway.first_word import connected, first_word
from stream_gateway.formats import PLAIN, Format, format_of
from stream_gateway.hub import Watch
from stream_gateway.proxy import METHODS
from stream_gateway.services import Services, services_of
from stream_gateway.sessions import Place, Session

STREAMING: Final = "/api/streaming"


def routes() -> list[Route]:
    """`/api/streaming/*`, and `/api/plan/*`, which goes on to plan-api."""
    return [
        Route(f"{STREAMING}/generate-plan", start, methods=["POST"]),
        Route(f"{STREAMING}/events/{{plan_id}}", events, methods=["GET"]),
        Route(f"{STREAMING}/status/{{plan_id}}", status, methods=["GET"]),
        Route(f"{STREAMING}/cancel/{{plan_id}}", cancel, methods=["DELETE"]),
        Route("/api/plan/{path:path}", pass_on, methods=METHODS),
    ]


async def start(request: Request) -> Response:
    """POST generate-plan: admission, and then the stream, or where to find it."""
    services = services_of(request)
    identity, body = await services.door.enter_with_body(request)
    require_json(request)
    asked = parse_model(body, StartRequest)
    if asked.user_id is not None and asked.user_id != identity.user_id:
        raise ApiError(ErrorCode.FORBIDDEN, "userId must be your own.")
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if not wants_stream(request.headers.get("accept", "")):
        admitted = await _admit(services, asked, identity, key, watched=False)
        return admitted if isinstance(admitted, Response) else _accepted(admitted)
    # All that may refuse is asked before the admission; after it nothing does.
    place = services.sessions.take_place(identity.user_id)
    try:
        admitted = await _admit(services, asked, identity, key, watched=True)
        if not isinstance(admitted, Response):
            return _stream_of(services, place, admitted, identity)
    except BaseException:
        place.free()
        raise
    place.free()
    return admitted


async def _admit(
    services: Services, asked: StartRequest, identity: Identity, key: str | None, *, watched: bool
) -> Admitted | Response:
    default: OnDisconnect = "abort" if watched else "continue"
    ask = AdmissionRequest(
        preference_id=asked.preference_id,
        user_id=identity.user_id,
        on_disconnect=asked.on_disconnect,
        on_disconnect_default=default,
        watched=watched,
    )
    admitted = await services.plan_api.start(ask, identity.user_id, key)
    if not isinstance(admitted, Response):
        services.ownership.learn(admitted.plan_id, identity.user_id)
    return admitted


def _stream_of(services: Services, place: Place, admitted: Admitted, identity: Identity) -> Response:
    """At once: what has just been accepted is queued; of what was accepted earlier we may know nothing yet."""
    session = services.sessions.open(place, identity)
    try:
        watch = session.join(admitted.plan_id)
        phase = watch.channel.phase or (None if admitted.replayed else "queued")
        known = phase if admitted.status == "generating" else None
        return _stream(services, session, watch, PLAIN, admitted.status, known)
    except BaseException:
        session.close()
        raise


def _stream(
    services: Services, session: Session, watch: Watch, how: Format, status: PlanStatus, phase: Phase | None
) -> Response:
    opening = how.encode(connected(watch.channel.plan_id, status, phase))
    return services.sessions.stream(session, PlanFeed(watch.viewer, how.encode), opening, how)


async def events(request: Request) -> Response:
    """GET events: watch or resume."""
    services = services_of(request)
    identity = await services.door.enter(request)
    plan_id = await services.ownership.require(request.path_params["plan_id"], identity.user_id)
    how = format_of(request.query_params)
    if request.method == "HEAD":
        return Response(headers=how.headers)
    cursor = Cursor.parse(last_event_id(request))
    place = services.sessions.take_place(identity.user_id)
    session = services.sessions.open(place, identity)
    try:
        watch = session.join(plan_id, cursor, how.mode)
        return await _resume(services, session, watch, cursor, how)
    except BaseException:
        session.close()
        raise


async def _resume(services: Services, session: Session, watch: Watch, cursor: Cursor | None, how: Format) -> Response:
    channel = watch.channel
    await first_word(channel, services.ownership, session.identity.user_id)
    if channel.holds_end(cursor):
        watch.viewer.close("ended")
        session.close()
        return Response(status_code=204, headers=NO_STORE)
    return _stream(services, session, watch, how, channel.status, channel.phase)


def last_event_id(request: Request) -> str | None:
    """Where a viewer stands; the header wins."""
    return request.headers.get("last-event-id") or request.query_params.get("lastEventId")


async def status(request: Request) -> Response:
    """GET status."""
    services = services_of(request)
    identity = await services.door.enter(request)
    plan_id = await services.ownership.require(request.path_params["plan_id"], identity.user_id)
    try:
        return JsonModel(await services.statuses.read(plan_id, identity.user_id))
    except GeneratorUnavailableError as error:
        raise generators_unavailable() from error


async def cancel(request: Request) -> Response:
    """DELETE cancel: the final status, or 202 when it is not confirmed in time."""
    services = services_of(request)
    identity, _ = await services.door.enter_with_body(request)
    plan_id = await services.ownership.require(request.path_params["plan_id"], identity.user_id)
    final = await services.canceller.cancel(plan_id, identity.user_id)
    reply = {"planId": str(plan_id), "status": final or "cancelling"}
    return JSONResponse(reply, 200 if final else 202, NO_STORE)


async def pass_on(request: Request) -> Response:
    """What is plan-api's."""
    return await services_of(request).proxy(request)


def wants_stream(accept: str) -> bool:
    """Whether to answer with a stream: unless JSON is asked for and a stream is not. Pure."""
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return "application/json" not in kinds or "text/event-stream" in kinds


def _accepted(admitted: Admitted) -> Response:
    plan_id = admitted.plan_id
    reply = {
        "planId": str(plan_id),
        "eventsUrl": f"/api/streaming/events/{plan_id}",
        "statusUrl": f"/api/streaming/status/{plan_id}",
    }
    return JSONResponse(reply, 202, {**NO_STORE, "Location": reply["eventsUrl"]})
