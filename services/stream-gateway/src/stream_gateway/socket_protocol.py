"""uvicorn's WebSocket (RFC 6455), with the same bound as HTTP has on a client that does not read."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from common.http_protocol import EXTENSION, STALL_SECONDS, Patience
from common.server import WebSockets

MAX_MESSAGE_BYTES: Final = 16 * 1024
# For the other side's close frame, after which it costs nothing more.
_CLOSE_SECONDS: Final = 2.0


class BoundedSocketProtocol(WebSocketsSansIOProtocol):
    """One connection, over a transport that holds no more than one write: see `common.http_protocol`."""

    stall_seconds = STALL_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.close_timeout = _CLOSE_SECONDS
        self._patience = Patience(self, self.stall_seconds)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)

    def handle_connect(self, event: Request) -> None:
        """The handshake; its application begins at the loop's next turn."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), EXTENSION: self._patience.state}

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

    def shutdown(self) -> None:
        """The application has been told that the drain began, and closes each socket in its own moment."""


WEBSOCKETS: Final = WebSockets(BoundedSocketProtocol, MAX_MESSAGE_BYTES)
