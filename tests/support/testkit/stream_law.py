"""The stream protocol (DESIGN section 4) over a viewer's log: invariants I2, I6, and I4 as a viewer sees it."""

from typing import Any

import orjson

from common.contracts.events import TERMINAL_EVENTS
from common.fold import FoldError, apply
from testkit.history import Connection, Event, Findings, History, PlanRow, ViewerLog

# The clocks of Postgres and of the viewers are this machine's, but not read in one instruction.
CLOCK_SLACK_SECONDS = 0.005
# An answer that says "come again": the stream that is resumed must not otherwise be refused.
PATIENT = frozenset({200, 204, 429, 503, None})


def judge_viewers(history: History, findings: Findings) -> None:
    """Judge every viewer by itself."""
    for viewer in history.viewers:
        if viewer.plan_id is not None:
            _Judge(viewer, history.rows.get(viewer.plan_id), findings).judge()


class _Judge:
    """Follows one log and holds what the viewer holds."""

    def __init__(self, viewer: ViewerLog, row: PlanRow | None, findings: Findings) -> None:
        self._viewer = viewer
        self._row = row
        self._findings = findings
        self._held: tuple[int, int] | None = None
        self._document: Any = None
        self._percent = 0.0
        self._ended = False

    def judge(self) -> None:
        for invariant in ("I2", "I4", "I6"):
            self._findings.look_at(invariant, self._viewer.plan_id)
        for connection in self._viewer.connections:
            self._follow(connection)
        if not self._viewer.left and not self._ended:
            last = self._viewer.connections[-1] if self._viewer.connections else None
            self._fault("I6", f"never ended; the last connection: {_describe(last)}")

    def _fault(self, invariant: Any, what: str) -> None:
        self._findings.add(invariant, f"{self._viewer.plan_id} {self._viewer.name}", what)

    def _follow(self, connection: Connection) -> None:
        if connection.status not in PATIENT:
            self._fault("I6", f"was answered {connection.status}")
        if connection.status == 204:
            self._end_without_words(connection)
        for number, event in enumerate(connection.events):
            data = orjson.loads(event.data)
            if (number == 0) != (event.name == "connected"):
                self._fault("I2", f"event {number} of a connection is {event.name}")
            if self._ended:
                self._fault("I2", f"{event.name} after the terminal event")
            if event.name != "connected":
                self._take(event, data, first=number == 1)

    def _end_without_words(self, connection: Connection) -> None:
        stored = None if self._row is None else f"{self._row.attempt}.{self._row.seq}"
        if not self._ended or connection.cursor != stored:
            self._fault("I2", f"204 for the cursor {connection.cursor}; the end {stored} was seen: {self._ended}")
        self._ended = True

    def _take(self, event: Event, data: dict[str, Any], *, first: bool) -> None:
        position = data["attempt"], data["seq"]
        if event.id != f"{position[0]}.{position[1]}":
            self._fault("I2", f"id {event.id} for {position}")
        if self._held is not None and position[0] < self._held[0]:
            self._fault("I4", f"{event.name} {position} after {self._held}" + (" on a new connection" if first else ""))
        self._look_at_percent(event, data, f"after {self._held}{' on a new connection' if first else ''}")
        match event.name:
            case "progress":
                self._progress(position, data)
            case "snapshot":
                # A cursor that is ahead of what is known gets a snapshot, which replaces what the viewer holds.
                if self._held is not None and position <= self._held and not (first and position != self._held):
                    self._fault("I2", f"snapshot {position} after {self._held}")
                self._document = data["plan"]
            case name if name in TERMINAL_EVENTS:
                self._terminal(event, position, data)
            case name:
                self._fault("I2", f"an event called {name}")
        self._held = position

    def _progress(self, position: tuple[int, int], data: dict[str, Any]) -> None:
        if self._held is None or position != (self._held[0], self._held[1] + 1):
            self._fault("I2", f"progress {position} after {self._held}")
        try:
            self._document = apply(self._document, data["ops"])
        except FoldError as error:
            self._fault("I2", f"progress {position} does not fit: {error}")

    def _terminal(self, event: Event, position: tuple[int, int], data: dict[str, Any]) -> None:
        self._ended = True
        row = self._row
        if row is None or row.completed_at is None:
            self._fault("I1", f"{event.name} {position} was announced and is not stored")
            return
        if event.at < row.completed_at - CLOCK_SLACK_SECONDS:
            self._fault("I1", f"{event.name} was announced {row.completed_at - event.at:.3f} s before it was stored")
        announced = event.name, data["status"], *position
        stored = row.ended_as, row.status, row.attempt, row.seq
        if announced != stored:
            self._fault("I1", f"announced {announced}, stored {stored}")
        if data.get("plan") != row.document:
            self._fault("I2", f"{event.name} {position} does not carry the stored document")
        followed = self._held is not None and position == (self._held[0], self._held[1] + 1)
        if followed and event.name == "complete" and self._document != row.document:
            self._fault("I2", f"what was folded up to {self._held} is not the stored document")

    def _look_at_percent(self, event: Event, data: dict[str, Any], where: str) -> None:
        if "progress" not in data:
            return
        percent = data["progress"]["percent"]
        if percent < self._percent:
            self._fault("I2", f"percent fell from {self._percent} to {percent} in {event.name} {event.id} {where}")
        if (percent == 100) != (event.name == "complete"):
            self._fault("I2", f"percent {percent} in {event.name} {event.id}")
        self._percent = percent


def _describe(connection: Connection | None) -> str:
    if connection is None:
        return "none"
    last = connection.events[-1] if connection.events else None
    closed = "open" if connection.closed_at is None else "closed"
    where = "nothing" if last is None else f"{last.name} {last.id}"
    return f"{connection.gateway} {connection.status}, {closed}, cursor {connection.cursor}, last event {where}"
