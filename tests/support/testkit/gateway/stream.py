"""A running gateway as its clients meet it, and a viewer's stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import orjson

from common import fold, sse
from common.server import Draining

SECONDS = 10.0


async def ready(client: httpx.AsyncClient, seconds: float = SECONDS) -> None:
    """Wait until a gateway serves and its NATS connection stands."""
    async with asyncio.timeout(seconds):
        while True:
            with suppress(httpx.ConnectError):
                if (await client.get("/readyz")).json()["dependencies"]["nats"] == "up":
                    return
            await asyncio.sleep(0.01)


@dataclass
class Stream:
    """A viewer: events as they come, folded into what a client would hold."""

    response: httpx.Response
    folding: bool = True  # not of several plans
    events: list[sse.ServerSentEvent] = field(default_factory=list)
    document: Any = None
    closed: bool = False
    retries: int = 0
    _decoder: sse.Decoder = field(default_factory=sse.Decoder)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def names(self) -> list[str]:
        """The events' names so far."""
        return [event.event for event in self.events]

    @property
    def comments(self) -> int:
        """Heartbeats so far."""
        return self._decoder.comments

    @property
    def last_id(self) -> str:
        """What a client would send as Last-Event-ID."""
        return next((event.id for event in reversed(self.events) if event.id), "")

    def data(self, index: int = -1) -> dict[str, Any]:
        """The data of one event."""
        data: dict[str, Any] = orjson.loads(self.events[index].data)
        return data

    async def read(self) -> None:
        """Read until the end."""
        with suppress(httpx.RemoteProtocolError):
            async for chunk in self.response.aiter_raw():
                self.retries += chunk.count(b"retry: ")
                for event in self._decoder.feed(chunk):
                    self._take(event)
                self._arrived.set()

    def close(self, _: object) -> None:
        """No more will come."""
        self.closed = True
        self._arrived.set()

    def _take(self, event: sse.ServerSentEvent) -> None:
        self.events.append(event)
        if not self.folding:
            return
        data = self.data()
        if event.event == "progress":
            self.document = fold.apply(self.document, data["ops"])
        elif event.event != "connected" and "plan" in data:
            self.document = data["plan"]

    async def until(self, condition: Callable[["Stream"], bool]) -> None:
        """Wait for something to hold of this stream."""
        async with asyncio.timeout(SECONDS):
            while not condition(self):
                assert not self.closed or condition(self), f"the stream has closed after {self.names}"
                self._arrived.clear()
                await self._arrived.wait()

    async def event(self, name: str) -> dict[str, Any]:
        """Wait until the last event so named has come; its data."""
        await self.until(lambda stream: name in stream.names)
        return self.data(max(index for index, event in enumerate(self.events) if event.event == name))

    async def end(self) -> str:
        """Wait for the close; the name of the last event."""
        await self.until(lambda stream: stream.closed)
        return self.events[-1].event


class Gateway:
    """A running gateway and a client of it."""

    def __init__(self, url: str, draining: Draining, client: httpx.AsyncClient) -> None:
        self.url = url
        self.draining = draining
        self.client = client

    @asynccontextmanager
    async def open(self, method: str, path: str, *, folding: bool = True, **options: Any) -> AsyncIterator[Stream]:
        """Open a stream and read it in the background."""
        async with self.client.stream(method, path, **options) as response:
            assert response.status_code == 200, await response.aread()
            stream = Stream(response, folding)
            reader = asyncio.create_task(stream.read())
            reader.add_done_callback(stream.close)
            try:
                yield stream
            finally:
                if not reader.done():
                    reader.cancel()
                    await asyncio.wait({reader})
                else:
                    reader.result()

    def watch(
        self, plan_id: UUID, user_id: UUID, last_id: str | None = None, **query: str
    ) -> AbstractAsyncContextManager[Stream]:
        """Watch a plan, or resume."""
        headers = {"X-User-Id": str(user_id)} | ({} if last_id is None else {"Last-Event-ID": last_id})
        return self.open("GET", f"/api/streaming/events/{plan_id}", headers=headers, params=query)
