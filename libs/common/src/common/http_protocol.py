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

from common.http_requests import BoundedRequests

_log = structlog.get_logger(__name__)

# In each span of STALL_SECONDS a client takes all that waits for it, or at least LEAST_TAKEN of it: some 1 KiB/s. So a
# phone on a slow network is served for as long as it reads, also a document that takes minutes.
# One that takes nothing at all is ended sooner, after `server.VANISHED_CLIENT_MS` and by the kernel, which treats a
# window that stays shut as it treats a client that has gone (tcp(7), TCP_USER_TIMEOUT). That may be a phone asleep: it
# comes back with one request, and until then it is as good as gone.
STALL_SECONDS: Final = 30.0
LEAST_TAKEN: Final = 32 * 1024  # bytes

EXTENSION: Final = "planstream.connection"
_WRITER: Final = "planstream.writer"


class Patience:
    """How long a connection's client is waited for; `state` is what its applications may ask about."""

    def __init__(self, protocol: asyncio.Protocol, seconds: float) -> None:
        self.state: dict[object, object] = {"stalled": False}
        self._protocol = protocol
        self._seconds = seconds
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """The client takes less than it is sent."""
        self._left = transport.get_write_buffer_size()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look, transport)

    def end(self) -> None:
        """It has taken everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lost(self, error: Exception | None) -> None:
        """The connection is gone. A kernel that has given up says so with ETIMEDOUT."""
        self.end()
        if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
            self.state["stalled"] = True

    def _look(self, transport: asyncio.Transport) -> None:
        if transport.get_protocol() is not self._protocol:
            return  # it has become a WebSocket, whose protocol hears of the buffer now
        left = transport.get_write_buffer_size()
        if self._left - left >= LEAST_TAKEN:
            self.begin(transport)
            return
        _log.info("client.stalled", seconds=self._seconds, left=left)
        self.state["stalled"] = True
        transport.abort()


class PartWriter:
    """Writes parts of a body that goes on, at once and without a task.

    For a response whose start was sent with its length unsaid, which uvicorn therefore sends in chunks.
    """

    def __init__(self, protocol: "BoundedHttpProtocol") -> None:
        self._protocol = protocol

    @property
    def ready(self) -> bool:
        """Whether the client is there and has taken everything; else only the usual `send` is right, which waits."""
        return not (self._protocol.flow.write_paused or self._protocol.transport.is_closing())

    def write(self, part: bytes) -> None:
        """Write a part, which must not be empty: that would be the end (RFC 9112, section 7.1)."""
        self._protocol.transport.write(b"%x\r\n%b\r\n" % (len(part), part))


class BoundedHttpProtocol(BoundedRequests):
    """One connection. What a request's application may ask about it is in its scope: see `has_stalled`."""

    stall_seconds = STALL_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = Patience(self, self.stall_seconds)
        self._writer: dict[object, object] = {"writer": PartWriter(self)}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self._patience.state, _WRITER: self._writer}

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        super().pause_writing()
        self._patience.begin(self.transport)

    def resume_writing(self) -> None:
        """It has taken everything."""
        self._patience.end()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._patience.lost(exc)
        super().connection_lost(exc)


def part_writer(scope: Scope) -> PartWriter | None:
    """What writes to this request's client at once; None where the answer has no body, or the server is another."""
    writer: PartWriter | None = scope.get("extensions", {}).get(_WRITER, {}).get("writer")
    return None if scope.get("method") == "HEAD" else writer


def has_stalled(scope: Scope) -> bool:
    """Whether a connection that is lost was ended because its client took nothing, rather than by the client."""
    state = scope.get("extensions", {}).get(EXTENSION, {})
    return bool(state.get("stalled"))
