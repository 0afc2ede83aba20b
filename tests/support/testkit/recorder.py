"""A viewer that records and does not judge: it resumes like an EventSource, and can be told to go and come back."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import aiohttp
import orjson

from common.contracts.events import TERMINAL_EVENTS
from testkit.history import Connection, Event, ViewerLog

# An EventSource waits as long as `retry:` says; to wait less only makes the test harder.
RETRY_SECONDS: Final = (0.1, 0.5)
NETWORK_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)

_SHIFT: Final = time.time() - time.monotonic()
_interned: dict[bytes, bytes] = {}


def now() -> float:
    """Seconds since the epoch, from a clock that never goes back."""
    return time.monotonic() + _SHIFT


class Recorder:
    """Follows one plan over any number of connections to any of the gateways."""

    def __init__(
        self,
        name: str,
        user_id: UUID,
        plan_id: UUID | None,
        gateways: Sequence[str],
        http: aiohttp.ClientSession,
        rng: random.Random,
        mode: str | None = None,
    ) -> None:
        self.log = ViewerLog(name, plan_id)
        self.ended = asyncio.Event()
        self.last_id: str | None = None
        self.chars = 0
        self._gateways = gateways
        self._http = http
        self._rng = rng
        self._headers = {"X-User-Id": str(user_id), "Accept": "text/event-stream"}
        self._params = {} if mode is None else {"mode": mode}
        self._response: aiohttp.ClientResponse | None = None

    @property
    def received(self) -> int:
        """How many events have come."""
        return sum(len(connection.events) for connection in self.log.connections)

    async def follow(self) -> None:
        """Watch and resume until the plan's end."""
        while not self.ended.is_set():
            headers = {} if self.last_id is None else {"Last-Event-ID": self.last_id}
            path = f"/api/streaming/events/{self.log.plan_id}"
            await self.request("GET", path, headers=headers, params=self._params)
            if not self.ended.is_set():
                await asyncio.sleep(self._rng.uniform(*RETRY_SECONDS))

    def drop(self) -> bool:
        """Break the present connection, as a lost network does; False when there is none."""
        if self._response is None or self._response.connection is None:
            return False
        transport = self._response.connection.transport
        if transport is not None:
            transport.abort()
        return True

    async def request(self, method: str, path: str, *, headers: dict[str, str], **request: Any) -> Connection:
        """One connection, to its end. Never raises for the network's sake."""
        gateway = self._rng.choice(self._gateways)
        connection = Connection(gateway, headers.get("Last-Event-ID"), now())
        self.log.connections.append(connection)
        try:
            async with self._http.request(
                method, gateway + path, headers=self._headers | headers, **request
            ) as response:
                connection.status = response.status
                if response.status == 204:
                    self.ended.set()
                elif response.status == 200:
                    self._response = response
                    await self._read(response, connection)
        except NETWORK_ERRORS:
            # It comes again; that it cannot is the invariants' business.
            pass
        finally:
            self._response = None
            connection.closed_at = now()
        return connection

    async def _read(self, response: aiohttp.ClientResponse, connection: Connection) -> None:
        rest = b""
        async for piece in response.content.iter_any():
            *blocks, rest = (rest + piece).split(b"\n\n")
            at = now()
            for block in blocks:
                event = _event(at, block)
                if event is not None:
                    self._take(event, connection)

    def _take(self, event: Event, connection: Connection) -> None:
        connection.events.append(event)
        if event.name == "connected":
            self.log.plan_id = UUID(orjson.loads(event.data)["planId"])
        else:
            self.last_id = event.id
        if event.name in TERMINAL_EVENTS:
            self.ended.set()

    async def leave(self) -> None:
        """Go away for good."""
        self.log.left = True
        self.ended.set()
        self.drop()


def _event(at: float, block: bytes) -> Event | None:
    """One block of a text/event-stream (WHATWG HTML, 9.2.6), which the gateway ends lines of with LF."""
    fields: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name:
            fields[name] = value.removeprefix(b" ")
    if b"data" not in fields:
        return None
    # Thousands of viewers record the same bytes.
    data = _interned.setdefault(fields[b"data"], fields[b"data"])
    return Event(at, fields.get(b"event", b"message").decode(), fields.get(b"id", b"").decode(), data)


Condition = Callable[[], bool]


async def until(condition: Condition, seconds: float, what: str) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: the time is over; `what` says what did not happen.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.02)
