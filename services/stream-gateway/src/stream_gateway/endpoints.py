"""HTTP in and out, nothing else."""

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from common.bodies import JsonModel, parse_model, read_body, require_json
from common.contracts.errors import ErrorCode
from common.contracts.internal import IDEMPOTENCY_HEADER, AdmissionRequest, Admitted, StartRequest
from common.contracts.messages import OnDisconnect
from common.generator_client import GeneratorUnavailableError, generators_unavailable
from common.problems import ApiError
from stream_gateway.auth import Authenticator, Identity, identify
from stream_gateway.cancel import Canceller
from stream_gateway.cursor import Cursor
from stream_gateway.ownership import Ownership
from stream_gateway.plan_api import PlanApi
from stream_gateway.sessions import Place, Session, Sessions
from stream_gateway.status import StatusReader
from stream_gateway.stream_response import HEADERS
from stream_gateway.viewer import Mode

# Before the first word of a stream we wait so long for the plan's state: it decides between 200, 204 and 404.
FIRST_WORD_SECONDS: Final = 1.5
NO_STORE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`/api/streaming/*`."""

    authenticator: Authenticator
    plan_api: PlanApi
    ownership: Ownership
    sessions: Sessions
    canceller: Canceller
    statuses: StatusReader

    async def start(self, request: Request) -> Response:
        """POST generate-plan: admission, and then the stream, or where to find it."""
        require_json(request)
        body = await read_body(request)
        identity = identify(self.authenticator, request, body)
        start = parse_model(body, StartRequest)
        if start.user_id is not None and start.user_id != identity.user_id:
            raise ApiError(ErrorCode.FORBIDDEN, "userId must be your own.")
        key = request.headers.get(IDEMPOTENCY_HEADER)
        if not wants_stream(request.headers.get("accept", "")):
            admitted = await self._admit(start, identity, key, "continue")
            return admitted if isinstance(admitted, Response) else _accepted(admitted)
        # All that may refuse is asked before the admission; after it nothing does.
        place = self.sessions.take_place(identity.user_id)
        try:
            admitted = await self._admit(start, identity, key, "abort")
            if not isinstance(admitted, Response):
                return self._stream_of(place, admitted, identity)
        except BaseException:
            place.free()
            raise
        place.free()
        return admitted

    async def _admit(
        self, start: StartRequest, identity: Identity, key: str | None, default: OnDisconnect
    ) -> Admitted | Response:
        ask = AdmissionRequest(
            preference_id=start.preference_id,
            user_id=identity.user_id,
            on_disconnect=start.on_disconnect,
            on_disconnect_default=default,
        )
        admitted = await self.plan_api.start(ask, identity.user_id, key)
        if not isinstance(admitted, Response):
            self.ownership.learn(admitted.plan_id, identity.user_id)
        return admitted

    def _stream_of(self, place: Place, admitted: Admitted, identity: Identity) -> Response:
        """At once: what has just been accepted is queued."""
        session = self.sessions.open(place, admitted.plan_id, identity)
        phase = session.watch.channel.phase or "queued"
        return self.sessions.stream(session, admitted.status, phase if admitted.status == "generating" else None)

    async def events(self, request: Request) -> Response:
        """GET events: watch or resume."""
        identity = identify(self.authenticator, request)
        plan_id = await self.ownership.require(request.path_params["plan_id"], identity.user_id)
        if request.method == "HEAD":
            return Response(headers=HEADERS)
        last = request.headers.get("last-event-id") or request.query_params.get("lastEventId")
        cursor = Cursor.parse(last)
        mode: Mode = "snapshots" if request.query_params.get("mode") == "snapshot" else "deltas"
        place = self.sessions.take_place(identity.user_id)
        session = self.sessions.open(place, plan_id, identity, cursor, mode)
        try:
            return await self._resume(session, cursor)
        except BaseException:
            session.close()
            raise

    async def _resume(self, session: Session, cursor: Cursor | None) -> Response:
        channel, viewer = session.watch.channel, session.watch.viewer
        try:
            async with asyncio.timeout(FIRST_WORD_SECONDS):
                await channel.answered.wait()
        except TimeoutError:
            channel.say("unanswered")
        if channel.phase == "queued" and channel.at is None:
            await self._confirm_queued(channel.plan_id, session.identity.user_id)
        if channel.holds_end(cursor):
            viewer.close("ended")
            session.close()
            return Response(status_code=204, headers=NO_STORE)
        return self.sessions.stream(session, channel.status, channel.phase)

    async def _confirm_queued(self, plan_id: UUID, user_id: UUID) -> None:
        """No generator knows it: it is queued, or it was deleted. plan-api knows which."""
        try:
            await self.ownership.confirm(plan_id, user_id)
        except ApiError as error:
            if error.code is not ErrorCode.UNAVAILABLE:
                raise

    async def status(self, request: Request) -> Response:
        """GET status."""
        identity = identify(self.authenticator, request)
        plan_id = await self.ownership.require(request.path_params["plan_id"], identity.user_id)
        try:
            return JsonModel(await self.statuses.read(plan_id, identity.user_id))
        except GeneratorUnavailableError as error:
            raise generators_unavailable() from error

    async def cancel(self, request: Request) -> Response:
        """DELETE cancel: the final status, or 202 when it is not confirmed in time."""
        identity = identify(self.authenticator, request, await read_body(request))
        plan_id = await self.ownership.require(request.path_params["plan_id"], identity.user_id)
        status = await self.canceller.cancel(plan_id, identity.user_id)
        reply = {"planId": str(plan_id), "status": status or "cancelling"}
        return JSONResponse(reply, 200 if status else 202, NO_STORE)


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
