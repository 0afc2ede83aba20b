"""A raw HTTP/1.1 server on a real socket, so that a test decides over every byte and every close."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from generator.openrouter import CompletionRequest, OpenRouterConfig, OpenRouterService, new_session

EVENT_STREAM = "text/event-stream"


@dataclass
class Exchange:
    """One request, and the ways to answer it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The request's body."""
        return orjson.loads(self.body)

    async def head(self, status: int = 200, content_type: str = EVENT_STREAM, **headers: str) -> None:
        """Status line and headers of a chunked answer; underscores in names become dashes."""
        fields = {"Content-Type": content_type, "Transfer-Encoding": "chunked"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.raw(f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode())

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """One HTTP chunk."""
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """The last chunk: the connection may be used again."""
        await self.raw(b"0\r\n\r\n")

    async def whole(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        """A complete answer."""
        await self.head(status, content_type, **headers)
        if body:
            await self.chunk(body)
        await self.end()

    async def gone(self) -> None:
        """Wait until the client has closed."""
        try:
            await self.reader.read()
        except ConnectionError:
            return

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


@dataclass
class Upstream:
    """A server that answers each request with the script, and records who came.

    Attributes:
        ports: the client's port, one entry per request.
        asked: set when a request has been read.
        closed: set when a client's connection has ended.
    """

    script: Script
    ports: list[int] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    failures: list[BaseException] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (exchange := await self._request(reader, writer)) is not None:
                await self.script(exchange)
                if writer.is_closing():
                    break
        except ConnectionError:
            pass  # the client closed while we wrote, as some tests want it to
        except Exception as error:  # noqa: BLE001  # told to the test at its end
            self.failures.append(error)
        finally:
            self.closed.set()
            writer.close()
            self._tasks.discard(task)

    async def stop(self) -> None:
        """Drop what is still open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self.failures == []

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (entry.partition(":") for entry in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        exchange = Exchange(reader, writer, line, headers, body)
        self.ports.append(writer.get_extra_info("peername")[1])
        self.exchanges.append(exchange)
        self.asked.set()
        return exchange


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[[Script], Awaitable[Upstream]]]:
    """`await upstream(script)` starts a server."""
    async with AsyncExitStack() as opened:

        async def start(script: Script) -> Upstream:
            server = Upstream(script)
            listener = await asyncio.start_server(server.connected, "127.0.0.1", 0)
            opened.push_async_callback(server.stop)
            opened.callback(listener.close)
            server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/api/v1"
            return server

        yield start


@pytest.fixture
async def service() -> AsyncIterator[Callable[..., OpenRouterService]]:
    """`service(url, **settings)` makes a client; its deadlines are far away unless the test sets one."""
    async with AsyncExitStack() as opened:

        def make(url: str, **settings: Any) -> OpenRouterService:
            defaults: dict[str, Any] = {"api_key": SecretStr("a-very-secret-key"), "model": "a/b", "base_url": url}
            config = OpenRouterConfig(**defaults | settings)
            session = new_session(config)
            opened.push_async_callback(session.close)
            return OpenRouterService(session, config)

        yield make


@pytest.fixture
def request_for_plan() -> CompletionRequest:
    """Any request."""
    return CompletionRequest(messages=[{"role": "user", "content": "Hi"}], session_id="plan-1", user="hash-1")
