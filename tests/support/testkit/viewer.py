"""A viewer of one plan: reads the stream with another decoder, folds it, and objects to what the protocol forbids."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from httpx_sse import EventSource
from pydantic import TypeAdapter

from common.contracts.events import TERMINAL_EVENTS, StreamEvent
from common.fold import apply

_EVENT: TypeAdapter[Any] = TypeAdapter(StreamEvent)


class ProtocolError(AssertionError):
    """The stream broke a rule of design section 4."""


@dataclass(frozen=True)
class Received:
    """One event as it arrived."""

    name: str
    id: str
    data: dict[str, Any]


class Viewer:
    """Follows a plan over any number of connections.

    `plan` is what it holds; `folded` leaves out what the terminal event brought.
    """

    def __init__(self, client: httpx.AsyncClient, plan_id: UUID | None = None) -> None:
        self.plan_id = plan_id
        self.plan: Any = None
        self.folded: Any = None
        self.last_id: str | None = None
        self.received: list[Received] = []
        self._client = client
        self._in_query = False
        self._cursor: tuple[int, int] | None = None
        self._percent = 0.0

    @property
    def names(self) -> list[str]:
        """The names of all events so far."""
        return [event.name for event in self.received]

    @property
    def end(self) -> Received | None:
        """The terminal event, if it has come."""
        return next((event for event in self.received if event.name in TERMINAL_EVENTS), None)

    async def start(
        self, body: dict[str, Any], until: "Until | None" = None, headers: dict[str, str] | None = None
    ) -> None:
        """Start a plan and follow it."""
        await self._read("POST", "/api/streaming/generate-plan", until, json=body, headers=headers)

    def move(self, client: httpx.AsyncClient, *, in_query: bool = False) -> None:
        """Come back at another gateway from now on, with the cursor in the header or in the query."""
        self._client, self._in_query = client, in_query

    async def watch(self, until: "Until | None" = None, **params: str) -> None:
        """Watch, or resume after what was read before."""
        name = "lastEventId" if self._in_query else "Last-Event-ID"
        cursor = {} if self.last_id is None else {name: self.last_id}
        query, headers = (params | cursor, {}) if self._in_query else (params, cursor)
        await self._read("GET", f"/api/streaming/events/{self.plan_id}", until, params=query, headers=headers)

    async def _read(self, method: str, path: str, until: "Until | None", **request: Any) -> None:
        async with self._client.stream(method, path, **request) as response:
            if response.status_code != httpx.codes.OK:
                await response.aread()
                raise httpx.HTTPStatusError(response.text, request=response.request, response=response)
            first = True
            async for item in EventSource(response).aiter_sse():
                if not item.data:
                    # A new `retry:` alone, as in a drain; a browser dispatches nothing for it (WHATWG HTML, 9.2.6).
                    continue
                event = Received(item.event, item.id, json.loads(item.data))
                self._check(event, first=first)
                first = False
                self.received.append(event)
                if until is not None and until(event):
                    return

    def _check(self, event: Received, *, first: bool) -> None:
        if self.end is not None:
            raise ProtocolError(f"{event.name} after the terminal event")
        _EVENT.validate_python({"event": event.name} | event.data)
        if first != (event.name == "connected"):
            raise ProtocolError(f"first={first} but the event is {event.name}")
        if event.name == "connected":
            self.plan_id = UUID(event.data["planId"])
            return
        if UUID(event.data["planId"]) != self.plan_id:
            raise ProtocolError("an event of another plan")
        self._advance(event)

    def _advance(self, event: Received) -> None:
        attempt, seq = event.data["attempt"], event.data["seq"]
        if event.id != f"{attempt}.{seq}":
            raise ProtocolError(f"id {event.id} for {attempt}.{seq}")
        if self._cursor is not None and (attempt, seq) < self._cursor:
            raise ProtocolError(f"{attempt}.{seq} after {self._cursor}")
        if event.name == "progress":
            if self._cursor != (attempt, seq - 1):
                raise ProtocolError(f"progress {attempt}.{seq} after {self._cursor}")
            self.plan = apply(self.plan, json.loads(json.dumps(event.data["ops"])))
        elif event.name == "snapshot":
            self.plan = json.loads(json.dumps(event.data["plan"]))
        else:
            self.plan = event.data.get("plan")
        if event.name not in TERMINAL_EVENTS:
            self.folded = self.plan
        self._cursor = (attempt, seq)
        self.last_id = event.id
        self._look_at_progress(event)

    def _look_at_progress(self, event: Received) -> None:
        percent = event.data.get("progress", {}).get("percent", self._percent)
        if percent < self._percent or (percent == 100) != (event.name == "complete" or self._percent == 100):
            raise ProtocolError(f"percent {self._percent} → {percent} in {event.name}")
        self._percent = percent


Until = Callable[[Received], bool]
