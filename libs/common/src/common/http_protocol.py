"""uvicorn's HTTP, with a bound on what a client costs that does not read.

Nothing waits in the transport beyond one write, so whoever writes feels a slow client at once and can leave out what it
missed. And a connection ends when its client takes nothing: uvicorn itself closes a transport only after all of it has
been written, which such a client can put off for ever.
"""

import asyncio
import errno
from typing import Any, Final

import structlog
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_log = structlog.get_logger(__name__)

# In each span of STALL_SECONDS a client takes all that waits for it, or at least LEAST_TAKEN of it: some 1 KiB/s. So a
# phone on a slow network is served for as long as it reads, also a document that takes minutes.
# One that takes nothing at all is ended sooner, after `server.VANISHED_CLIENT_MS` and by the kernel, which treats a
# window that stays shut as it treats a client that has gone (tcp(7), TCP_USER_TIMEOUT). That may be a phone asleep: it
# comes back with one request, and until then it is as good as gone.
STALL_SECONDS: Final = 30.0
LEAST_TAKEN: Final = 32 * 1024  # bytes

EXTENSION: Final = "planstream.connection"


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. What a request's application may ask about it is in its scope: see `has_stalled`."""

    stall_seconds = STALL_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._state: dict[object, object] = {"stalled": False}
        self._left = 0
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self._state}

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """It has taken everything."""
        self._stop_waiting()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end. A kernel that has given up says so with ETIMEDOUT."""
        self._stop_waiting()
        if isinstance(exc, OSError) and exc.errno == errno.ETIMEDOUT:
            self._state["stalled"] = True
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._left = self.transport.get_write_buffer_size()
        self._patience = self.loop.call_later(self.stall_seconds, self._look)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _look(self) -> None:
        if self.transport.get_protocol() is not self:
            return  # it has become a WebSocket, whose protocol hears of the buffer now
        left = self.transport.get_write_buffer_size()
        if self._left - left >= LEAST_TAKEN:
            self._wait()
            return
        _log.info("client.stalled", seconds=self.stall_seconds, left=left)
        self._state["stalled"] = True
        self.transport.abort()


def has_stalled(scope: Scope) -> bool:
    """Whether a connection that is lost was ended because its client took nothing, rather than by the client."""
    state = scope.get("extensions", {}).get(EXTENSION, {})
    return bool(state.get("stalled"))
