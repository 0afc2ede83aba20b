"""What a WebSocket's client costs that does not read, over real sockets."""

import asyncio
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.types import Receive, Scope, Send

from common.http_protocol import has_stalled
from common.server import WebSockets
from stream_gateway.socket_protocol import BoundedSocketProtocol
from testkit.serving import serving

STALL_SECONDS = 0.2
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Impatient(BoundedSocketProtocol):
    """Waits less long."""

    stall_seconds = STALL_SECONDS


class Talker:
    """Sends without end; remembers how the connection was lost."""

    def __init__(self) -> None:
        self.sent = 0
        self.stalled: bool | None = None
        self.over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        with suppress(OSError):
            while True:
                await send({"type": "websocket.send", "text": "x" * 10_000})
                self.sent += 1
        self.stalled = has_stalled(scope)
        self.over.set()


async def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (parts.hostname, parts.port))
    await loop.sock_sendall(connection, HANDSHAKE)
    return connection


async def test_a_client_that_does_not_read_is_let_go() -> None:
    """Nothing waits for it beyond one message, and after the bound the connection ends, as stalled."""
    app = Talker()
    async with serving(app, lifespan="off", websockets=WebSockets(Impatient, 1000)) as url:
        connection = await _connect(url)
        async with asyncio.timeout(5):
            await app.over.wait()
        connection.close()
    assert app.stalled is True
    assert app.sent < 100


async def test_a_client_that_goes_has_not_stalled() -> None:
    """It closed the connection itself."""
    app = Talker()
    async with serving(app, lifespan="off", websockets=WebSockets(BoundedSocketProtocol, 1000)) as url:
        connection = await _connect(url)
        await asyncio.get_running_loop().sock_recv(connection, 100)
        connection.close()
        async with asyncio.timeout(5):
            await app.over.wait()
    assert app.stalled is False
