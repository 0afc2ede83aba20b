"""A small TCP proxy between a service and a server, that can lose the network in the ways a network is lost."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

LOOPBACK: Final = "127.0.0.1"
_READ_BYTES: Final = 64 * 1024


class Proxy:
    """Forwards connections to `target`.

    `pause` holds every byte and lets connections stand, as a partition does; `refuse` closes the listener; `cut` resets
    what is open; `delay` is added to every piece that is forwarded, in seconds; `filters` makes, for each connection
    that is opened from then on, what changes the bytes towards the server. `accepted`, `cuts` and `held` (bytes) count
    what happened, so that a test can tell that its fault bit. A `narrow` proxy that is paused takes some 100 KB, and
    not the megabytes for which the kernel has room.
    """

    def __init__(self, *, narrow: bool = False) -> None:
        self.narrow = narrow
        self.target: tuple[str, int] | None = None
        self.port = 0
        self.delay = 0.0
        self.filters: Callable[[], Callable[[bytes], bytes]] | None = None
        self.accepted = 0
        self.cuts = 0
        self.held = 0
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: "type[BaseException] | BaseException | TracebackType | None") -> None:
        await self.refuse()
        self.cut()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def open(self) -> int:
        """How many connections are forwarded now."""
        return len(self._writers) // 2

    async def accept(self) -> None:
        """Listen, on the same port as before."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._listener())
            self.port = self._server.sockets[0].getsockname()[1]

    def _listener(self) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.narrow:
            # Small segments, too: or the sender's side of the kernel takes 2 MB. Accepted connections inherit both.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        listener.bind((LOOPBACK, self.port))
        return listener

    async def refuse(self) -> None:
        """Refuse new connections; those that are open go on."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    def cut(self) -> int:
        """Reset every open connection; answers with how many."""
        count = self.open
        self.cuts += count
        for writer in self._writers:
            writer.transport.abort()
        return count

    def pause(self) -> None:
        """Let nothing through, in either direction."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let through what was held, and everything after it."""
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        try:
            await self._flowing.wait()
            assert self.target is not None, "aim the proxy first"
            there = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        await self._forward(reader, writer, *there)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer, self.filters and self.filters()))
                group.create_task(self._pump(far_reader, writer))
        finally:
            self._writers -= pair
            for each in pair:
                each.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes] | None = None,
    ) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                if not self._flowing.is_set():
                    self.held += len(data)
                    await self._flowing.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data if change is None else change(data))
                await writer.drain()
            writer.write_eof()
        except OSError:
            # One side has broken: the other hears of it as a reset, too.
            writer.transport.abort()


class Switchboard:
    """One proxy for each service and each server that it talks to, by (service, variable of the environment)."""

    VARIABLES: Final = ("NATS_URL", "DATABASE_URL", "OPENROUTER_BASE_URL")

    def __init__(self, proxies: Mapping[tuple[str, str], Proxy]) -> None:
        self._proxies = proxies

    def __iter__(self) -> Iterator[Proxy]:
        return iter(self._proxies.values())

    def rewire(self, service: str, environment: Mapping[str, str]) -> Mapping[str, str]:
        """For `running_stack`: lead the service's connections through its proxies."""
        changed = dict(environment)
        for variable in self.VARIABLES:
            if variable in environment and (service, variable) in self._proxies:
                parts = urlsplit(environment[variable])
                assert parts.hostname is not None
                assert parts.port is not None
                proxy = self._proxies[service, variable]
                proxy.target = (parts.hostname, parts.port)
                user, at, _ = parts.netloc.rpartition("@")
                changed[variable] = parts._replace(netloc=f"{user}{at}{LOOPBACK}:{proxy.port}").geturl()
        return changed

    def of(self, variable: str, *services: str) -> list[Proxy]:
        """The proxies to one server: of these services, or of all."""
        return [
            proxy
            for (service, name), proxy in self._proxies.items()
            if name == variable and service in (services or {service})
        ]


@asynccontextmanager
async def open_switchboard(services: Iterable[str], *, narrow: bool = False) -> AsyncIterator[Switchboard]:
    """Proxies for these services; they learn where they lead to when the services' environment is made."""
    async with AsyncExitStack() as opened:
        proxies = {}
        for service in services:
            for variable in Switchboard.VARIABLES:
                proxies[service, variable] = await opened.enter_async_context(Proxy(narrow=narrow))
        yield Switchboard(proxies)
