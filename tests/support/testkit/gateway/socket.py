"""A client of the gateway's WebSocket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from common import fold
from testkit.gateway.stream import SECONDS

Message = dict[str, Any]
_UNNUMBERED = frozenset({"connected", "pong", "unwatched", "request_error", "cancel_reply"})


class Socket:
    """Messages as they come; each plan's events are folded, and a gap or a repeat is an error."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.messages: list[Message] = []
        self.documents: dict[str, Any] = {}
        self.cursors: dict[str, str] = {}
        self.code: int | None = None
        self._arrived = asyncio.Event()

    def names(self, plan_id: UUID | None = None) -> list[str]:
        """The events' names so far, of all or of one plan."""
        return [each["event"] for each in self.messages if plan_id is None or each.get("planId") == str(plan_id)]

    async def say(self, kind: str, plan_id: UUID | None = None, **members: Any) -> None:
        """Send a request."""
        place = {} if plan_id is None else {"planId": str(plan_id)}
        await self.connection.send(orjson.dumps({"type": kind, **place, **members}).decode())

    async def read(self) -> None:
        """Read until the end."""
        try:
            async for text in self.connection:
                self.messages.append(orjson.loads(text))
                self._fold(orjson.loads(text))
                self._arrived.set()
        except ConnectionClosed:
            pass
        self.code = self.connection.close_code
        self._arrived.set()

    def _fold(self, message: Message) -> None:
        if message["event"] in _UNNUMBERED:
            return
        assert list(message)[:2] == ["event", "id"]
        plan_id, place = message["planId"], f"{message['attempt']}.{message['seq']}"
        assert message["id"] == place
        if message["event"] == "progress":
            assert self.cursors.get(plan_id) == f"{message['attempt']}.{message['seq'] - 1}", message
            self.documents[plan_id] = fold.apply(self.documents.get(plan_id), message["ops"])
        else:
            self.documents[plan_id] = message["plan"]
        self.cursors[plan_id] = place

    async def until(self, condition: Callable[["Socket"], bool]) -> None:
        """Wait for something to hold."""
        async with asyncio.timeout(SECONDS):
            while not condition(self):
                assert self.code is None, f"closed with {self.code} after {self.names()}"
                self._arrived.clear()
                await self._arrived.wait()

    async def event(self, name: str, plan_id: UUID | None = None) -> Message:
        """Wait for an event so named, of a plan or of any; the last one."""
        await self.until(lambda socket: name in socket.names(plan_id))
        found = [each for each in self.messages if each["event"] == name]
        return next(each for each in reversed(found) if plan_id is None or each["planId"] == str(plan_id))

    async def closed(self) -> int:
        """Wait for the close; its code."""
        async with asyncio.timeout(SECONDS):
            while self.code is None:
                self._arrived.clear()
                await self._arrived.wait()
        return self.code


@asynccontextmanager
async def socket(url: str, user_id: UUID | None, **headers: str) -> AsyncIterator[Socket]:
    """Connect to a gateway's address, and read in the background."""
    given = ({} if user_id is None else {"X-User-Id": str(user_id)}) | headers
    address = f"ws{url.removeprefix('http')}/api/streaming/ws"
    async with connect(address, additional_headers=given, proxy=None, close_timeout=1) as connection:
        made = Socket(connection)
        reader = asyncio.create_task(made.read())
        try:
            yield made
        finally:
            await connection.close()
            await reader
