"""One WebSocket: watch many plans, resume each from its cursor, cancel; the same events and guarantees as over SSE.

One reader takes requests, one writer sends everything, so that an answer never overtakes what was said before it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, assert_never
from uuid import UUID

from starlette.websockets import WebSocket, WebSocketDisconnect

from common.contracts.errors import ErrorCode
from common.http_protocol import has_stalled
from common.problems import ApiError
from stream_gateway import socket_messages
from stream_gateway.cursor import Cursor
from stream_gateway.first_word import connected, first_word
from stream_gateway.frame import as_text
from stream_gateway.hub import Watch
from stream_gateway.owned_tasks import OwnedTasks, owned_tasks
from stream_gateway.services import Services
from stream_gateway.sessions import Session, seconds_left
from stream_gateway.socket_messages import refusal, reply
from stream_gateway.stream_response import GONE
from stream_gateway.viewer import Reason

MAX_PLANS: Final = 100
# Requests that are no good, or too many: so often that is said, and then the socket is closed.
MAX_REFUSED: Final = 20
# Answers that wait for the client, and cancellations under way; beyond that nothing more is read from it.
MAX_REPLIES: Final = 100
MAX_CANCELLATIONS: Final = 20

# RFC 6455 section 7.4, and from 4000 on our own, after HTTP's.
CLOSE_CODES: Final[dict[Reason, int]] = {
    "drain": 1012, "age": 1001, "token_expired": 4401, "refused": 1008, "failed": 1011,
}  # fmt: skip
# What a client does wrong by its form or its pace; that a plan is not there is no fault.
_FAULTS: Final = frozenset({ErrorCode.INVALID_INPUT, ErrorCode.RATE_LIMITED})


@dataclass(eq=False, slots=True)
class _Watched:
    """A plan of this socket. Nothing is said of it before `greeting`, which is `connected`."""

    watch: Watch
    greeting: str | None = None


class Socket:
    """Serves one connection that has been let in."""

    def __init__(self, websocket: WebSocket, services: Services, session: Session) -> None:
        self._websocket = websocket
        self._services = services
        self._session = session
        self._user_id = session.identity.user_id
        self._plans: dict[UUID, _Watched] = {}
        self._replies: deque[str] = deque()
        self._room = asyncio.Event()
        self._cancelling = asyncio.Semaphore(MAX_CANCELLATIONS)
        self._refused = 0

    async def serve(self) -> None:
        """Until the client goes, or one of our limits is reached."""
        loop, session = asyncio.get_running_loop(), self._session
        timers = [loop.call_later(self._services.sessions.limits.age(), session.stop, "age")]
        left = seconds_left(session.identity)
        if left is not None:
            timers.append(loop.call_later(max(0.0, left), session.stop, "token_expired"))
        try:
            async with owned_tasks() as tasks:
                await self._websocket.accept()
                tasks.spawn(self._read(tasks), "socket reader")
                await self._write()
        except WebSocketDisconnect:
            session.stop(self._lost())
        finally:
            session.stop("failed")
            for timer in timers:
                timer.cancel()
            session.close()

    async def _read(self, tasks: OwnedTasks) -> None:
        try:
            while (message := await self._websocket.receive())["type"] == "websocket.receive":
                await self._take(message.get("text"), tasks)
                while len(self._replies) >= MAX_REPLIES:
                    self._room.clear()
                    await self._room.wait()
            self._session.stop(self._lost())
        finally:
            self._session.stop("failed")

    async def _take(self, text: str | None, tasks: OwnedTasks) -> None:
        plan_id = None
        try:
            self._services.door.count(self._session.identity)
            request = socket_messages.read_request(text)
            plan_id = None if isinstance(request, socket_messages.Ping) else request.plan_id
            await self._do(request, tasks)
        except ApiError as error:
            self._reply(refusal(error, plan_id))
            self._refused += error.code in _FAULTS
            if self._refused > MAX_REFUSED:
                self._session.stop("refused")

    async def _do(self, request: socket_messages.SocketRequest, tasks: OwnedTasks) -> None:
        match request:
            case socket_messages.Ping():
                self._reply(reply("pong"))
            case socket_messages.Watch():
                await self._watch(request.plan_id, Cursor.parse(request.cursor), tasks)
            case socket_messages.Unwatch():
                self._unwatch(request.plan_id)
            case socket_messages.Cancel():
                await self._services.ownership.require(str(request.plan_id), self._user_id)
                await self._cancelling.acquire()
                tasks.spawn(self._cancel(request.plan_id), "socket cancel")
            case _:
                assert_never(request)

    async def _watch(self, plan_id: UUID, cursor: Cursor | None, tasks: OwnedTasks) -> None:
        await self._services.ownership.require(str(plan_id), self._user_id)
        self._leave(plan_id)
        if len(self._plans) >= MAX_PLANS:
            detail = f"You watch {MAX_PLANS} plans over this socket, which is the limit. Unwatch one first."
            raise ApiError(ErrorCode.TOO_MANY_STREAMS, detail)
        watched = self._plans[plan_id] = _Watched(self._session.join(plan_id, cursor))
        tasks.spawn(self._greet(plan_id, watched), "socket greeting")

    async def _greet(self, plan_id: UUID, watched: _Watched) -> None:
        channel = watched.watch.channel
        try:
            await first_word(channel, self._services.ownership, self._user_id)
        except ApiError as error:
            if self._plans.get(plan_id) is watched:
                self._leave(plan_id)
                self._reply(refusal(error, plan_id))
            return
        watched.greeting = connected(plan_id, channel.status, channel.phase).encoded(as_text)
        self._session.wake.set()

    def _unwatch(self, plan_id: UUID) -> None:
        if not self._leave(plan_id):
            raise ApiError(ErrorCode.NOT_FOUND, "You do not watch this plan.")
        self._reply(reply("unwatched", planId=str(plan_id)))

    def _leave(self, plan_id: UUID) -> bool:
        watched = self._plans.pop(plan_id, None)
        if watched is not None:
            watched.watch.viewer.close("disconnected")
            self._session.leave(watched.watch)
        return watched is not None

    async def _cancel(self, plan_id: UUID) -> None:
        try:
            final = await self._services.canceller.cancel(plan_id, self._user_id)
        finally:
            self._cancelling.release()
        self._reply(reply("cancel_reply", planId=str(plan_id), status=final or "cancelling"))

    def _reply(self, text: str) -> None:
        self._replies.append(text)
        self._session.wake.set()

    async def _write(self) -> None:
        session = self._session
        while True:
            await session.wake.wait()
            reason = session.reason
            if reason in GONE and reason not in CLOSE_CODES:
                return
            while self._replies:
                await self._websocket.send_text(self._replies.popleft())
                self._room.set()
            for plan_id, watched in tuple(self._plans.items()):
                await self._tell(plan_id, watched)
            if reason is not None:
                await self._websocket.close(CLOSE_CODES[reason], reason)
                return

    async def _tell(self, plan_id: UUID, watched: _Watched) -> None:
        """Send what waits of one plan; what comes meanwhile waits in the viewer's own bound."""
        if watched.greeting is None or self._plans.get(plan_id) is not watched:
            return
        viewer = watched.watch.viewer
        greeting, watched.greeting = watched.greeting, ""
        ended, frames = viewer.reason == "ended", viewer.take()
        if greeting:
            await self._websocket.send_text(greeting)
        for frame in frames:
            await self._websocket.send_text(frame.encoded(as_text))
        if ended and self._plans.get(plan_id) is watched:
            self._leave(plan_id)
            if not frames:  # the client had the end already
                self._reply(reply("unwatched", planId=str(plan_id)))

    def _lost(self) -> Reason:
        return "stalled" if has_stalled(self._websocket.scope) else "disconnected"
