"""A client that takes nothing loses its connection in time; one that reads slowly keeps it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import Receive, Scope, Send

from common.http_protocol import LEAST_TAKEN, BoundedHttpProtocol, has_stalled
from common.server import listen

STALL_SECONDS = 0.4
SECONDS = 5.0
SIZE = 8 * LEAST_TAKEN


class Impatient(BoundedHttpProtocol):
    """The same, sooner."""

    stall_seconds = STALL_SECONDS


@dataclass
class Document:
    """Sends a body in pieces, and notes how much it could write and how the connection was lost.

    If it `leaves`, it returns in the middle of the response.
    """

    piece: int = SIZE
    leaves: bool = False
    written: int = 0
    stalled: bool | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        gone = asyncio.create_task(self._watch(scope, receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while self.written < SIZE and self.stalled is None:
            await send({"type": "http.response.body", "body": b"x" * self.piece, "more_body": True})
            self.written += self.piece
        if self.leaves:
            gone.cancel()
        await asyncio.wait({gone})

    async def _watch(self, scope: Scope, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.stalled = has_stalled(scope)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class Connection:
    """A client that has asked and reads nothing by itself."""

    server: uvicorn.Server
    client: socket.socket

    async def read(self, size: int, pause: float) -> int:
        """Read at most so much after each pause, until all is there or the connection is lost; how much it was."""
        taken = 0
        while taken < SIZE:
            await asyncio.sleep(pause)
            try:
                piece = await asyncio.get_running_loop().sock_recv(self.client, size)
            except ConnectionResetError:
                break
            if not piece:
                break
            taken += len(piece)
        return taken

    async def until(self, connected: bool) -> None:
        """Wait until the server holds the connection, or no longer."""
        async with asyncio.timeout(SECONDS):
            while bool(self.server.server_state.connections) is not connected:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def _asked(
    app: Document, protocol: type[BoundedHttpProtocol] = Impatient, vanished_ms: int | None = None
) -> AsyncIterator[Connection]:
    """A server, and a request on its way."""
    listener = listen("127.0.0.1", 0)
    if vanished_ms is not None:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, vanished_ms)
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loop, client = asyncio.get_running_loop(), socket.socket()
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, listener.getsockname())
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection = Connection(server, client)
        await connection.until(connected=True)
        yield connection
    finally:
        client.close()
        server.should_exit = True
        await serving
        listener.close()


async def test_a_client_that_never_reads_is_disconnected_as_stalled() -> None:
    """And the application hears of it."""
    app = Document()
    async with _asked(app) as connection:
        await connection.until(connected=False)
    assert app.stalled is True


async def test_a_client_that_reads_slowly_gets_everything() -> None:
    """Though it takes several times as long as a client may take nothing."""
    began = asyncio.get_running_loop().time()
    async with _asked(Document()) as connection, asyncio.timeout(3 * SECONDS):
        assert await connection.read(4096, STALL_SECONDS / 20) >= SIZE
    assert asyncio.get_running_loop().time() - began > 2 * STALL_SECONDS


async def test_a_client_that_hardly_reads_is_disconnected_as_stalled() -> None:
    """A trickle does not hold a connection for as long as the client likes."""
    app = Document()
    async with _asked(app) as connection, asyncio.timeout(SECONDS):
        assert await connection.read(256, STALL_SECONDS / 20) < SIZE
        await connection.until(connected=False)
    assert app.stalled is True


async def test_a_client_that_goes_away_has_not_stalled() -> None:
    """Also when something still waited for it."""
    app = Document()
    async with _asked(app) as connection:
        connection.client.close()
        await connection.until(connected=False)
    assert app.stalled is False


async def test_what_the_kernel_gives_up_has_stalled() -> None:
    """A window that stays shut for as long as TCP_USER_TIMEOUT is the same to the application."""
    app = Document()
    async with _asked(app, BoundedHttpProtocol, vanished_ms=300) as connection:
        await connection.until(connected=False)
    assert app.stalled is True


async def test_an_application_that_leaves_does_not_leave_the_connection() -> None:
    """What it had written keeps no connection open to a client that does not read it."""
    async with _asked(Document(leaves=True)) as connection:
        await connection.until(connected=False)


async def test_a_writer_soon_feels_a_client_that_does_not_read() -> None:
    """It waits after a small part of what the system's own buffers would hold."""
    app = Document(piece=1024)
    async with _asked(app) as connection:
        await connection.until(connected=False)
    assert app.written <= LEAST_TAKEN
