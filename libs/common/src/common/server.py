"""Serve an application until SIGTERM or SIGINT, with a drain that the application hears of first.

uvicorn closes the listeners at a signal and then waits for open responses without telling them, and runs the lifespan
shutdown only after that. So the signal is ours: it opens `draining` first, and streams end themselves.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.contracts.errors import ErrorCode
from common.garbage import collect_by_the_clock
from common.http_protocol import BoundedHttpProtocol
from common.problems import ApiError, problem_response
from common.tasks import background

_log = structlog.get_logger(__name__)

# A closed laptop lid sends no FIN: unacknowledged data must not keep a stream for the system's 15 minutes. Linux takes
# a window that stays shut for the same; see `common.http_protocol` for what that means to a client that does not read.
VANISHED_CLIENT_MS = 20_000
# What the kernel takes ahead of the network, beside what is in flight. By default it would be megabytes for a client
# that reads slowly, all of it old news by the time it is read.
UNSENT_BYTES = 16 * 1024
BACKLOG = 2048
# Where a scope keeps the server's own `send`.
_SEND = "planstream.send"


class Draining:
    """Whether the service is on its way out. Readiness, intake and open streams look at it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._began: float | None = None

    def begin(self) -> None:
        """Say it; for ever."""
        if self._began is None:
            self._began = time.monotonic()
        self._event.set()

    def left(self, seconds: float) -> float:
        """What is left of so many seconds since the drain began, so that all its steps share one deadline."""
        return seconds if self._began is None else max(seconds - (time.monotonic() - self._began), 0.0)

    def __bool__(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        """Return once the drain has begun."""
        await self._event.wait()


class LastWord:
    """ASGI middleware: a request that is cut off because the shutdown's time is over gets a problem document.

    uvicorn cancels what is still open then, and would answer 500 without a body of ours. It may stand once more within
    other middleware, which then sees that answer, too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; answer only a cancelled request that has had no answer."""
        started = False
        scope.setdefault("extensions", {}).setdefault(_SEND, send)

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if started or scope["type"] != "http":
                raise
            error = ApiError(ErrorCode.UNAVAILABLE, "This server is going away. Try again.", retry_after=1)
            await problem_response(error)(scope, receive, send)


def send_of_server(scope: Scope, send: Send) -> Send:
    """What the body of a stream is sent by once its start has gone the usual way.

    Middleware here looks at the start of an answer alone, and each would cost every event a call more.
    """
    direct: Send = scope.get("extensions", {}).get(_SEND, send)
    return direct


class Unattended(uvicorn.Server):
    """A server that leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose accepted connections notice a vanished client, and keep little for a slow one.

    Raises:
        OSError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_CLIENT_MS)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@dataclass(frozen=True, slots=True)
class WebSockets:
    """How a server speaks them, and the largest message that it takes, in bytes."""

    protocol: type[asyncio.Protocol]
    max_message: int

    @classmethod
    def options(cls, given: "WebSockets | None") -> dict[str, Any]:
        """For uvicorn. No compression: it would be done again for each connection."""
        if given is None:
            return {"ws": "none"}
        return {"ws": given.protocol, "ws_max_size": given.max_message, "ws_per_message_deflate": False}


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    draining: Draining,
    shutdown_seconds: float,
    websockets: WebSockets | None = None,
) -> None:
    """Serve until a signal, then drain: not ready → no intake → finish until the deadline → cancel.

    Raises:
        OSError: the address cannot be listened on.
    """
    listener = listen(host, port)
    config = uvicorn.Config(
        LastWord(app),
        http=BoundedHttpProtocol,
        **WebSockets.options(websockets),
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=int(shutdown_seconds) + 1,
    )
    server = Unattended(config)

    def stop() -> None:
        if server.should_exit:
            server.force_exit = True
        draining.begin()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _log.info("server.listening", host=host, port=listener.getsockname()[1])
    async with background("collector", collect_by_the_clock):
        await server.serve(sockets=[listener])
    _log.info("server.stopped")
    if not server.started:
        raise SystemExit("the application did not start; the log says why")
