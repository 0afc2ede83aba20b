"""The checker itself: a history that is right passes, and each way of doctoring it is caught."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest

from testkit.history import (
    Account,
    Answer,
    CallLog,
    Connection,
    Event,
    Findings,
    GenerationRow,
    History,
    Invariant,
    LedgerRow,
    PlanLog,
    PlanRow,
    RowVersion,
    Upstream,
    UpstreamRow,
    ViewerLog,
)
from testkit.invariants import check

PLAN, USER, FIRST, SECOND = (UUID(int=number) for number in range(1, 5))
DOCUMENT = {"monthly_summary": "Row"}
TOLD = Answer(8.2, 200, PLAN, DOCUMENT, None)
Doctor = Callable[[History], History]


def event(at: float, name: str, position: str = "", **data: Any) -> Event:
    """An event as a viewer records it."""
    attempt, _, seq = position.partition(".")
    numbers = {"attempt": int(attempt), "seq": int(seq)} if position else {}
    return Event(at, name, position, orjson.dumps({"planId": str(PLAN)} | numbers | data))


def progress(at: float, position: str, path: str, value: Any, percent: float, op: str = "add") -> Event:
    """One operation."""
    ops = [{"op": op, "path": path, "value": value}]
    return event(at, "progress", position, ops=ops, progress={"percent": percent})


def viewer() -> ViewerLog:
    """Sees attempt 1 begin, loses its connection, resumes in attempt 2 and sees the end."""
    before = Connection("a", None, 1.0, 200, closed_at=3.0)
    before.events = [
        event(1.0, "connected", status="generating"),
        event(1.1, "snapshot", "1.0", plan=None, progress={"percent": 0}),
        progress(1.2, "1.1", "", {"monthly_summary": "R"}, 10),
    ]
    after = Connection("b", "1.1", 3.2, 200, closed_at=9.0)
    after.events = [
        event(3.2, "connected", status="generating"),
        event(5.0, "snapshot", "2.0", plan={"monthly_summary": "R"}, progress={"percent": 10}),
        progress(6.0, "2.1", "/monthly_summary", "ow", 50, op="append"),
        event(8.1, "complete", "2.2", status="completed", plan=DOCUMENT, progress={"percent": 100}),
    ]
    return ViewerLog("v", PLAN, [before, after])


def right() -> History:
    """A plan whose first owner died, and that was written to its end by the second; a call waits for it, too."""
    return History(
        plans=[PlanLog(PLAN, USER, 1.0)],
        viewers=[viewer()],
        rows={PLAN: PlanRow(PLAN, "completed", "complete", 2, 2, DOCUMENT, "used", None, 8.0)},
        versions=[
            RowVersion(PLAN, 1.0, "generating", 1, 0, FIRST),
            RowVersion(PLAN, 1.5, "generating", 1, 1, FIRST),
            RowVersion(PLAN, 5.0, "generating", 2, 0, SECOND),
            RowVersion(PLAN, 8.0, "completed", 2, 2, SECOND),
        ],
        generations=[GenerationRow(PLAN, USER, "completed", "used")],
        ledger=[LedgerRow(PLAN, USER, "reserved", 0, 1), LedgerRow(PLAN, USER, "used", 1, -1)],
        accounts={USER: Account(1, 0)},
        upstream=[Upstream("g1", PLAN, 1.0, 3.0), Upstream("g2", PLAN, 5.1, 7.9)],
        booked=[UpstreamRow(PLAN, "g2")],
        grace_seconds=3.0,
        calls=[CallLog(USER, [TOLD, TOLD])],
    )


def test_right_history() -> None:
    """Nothing is found in a history that is right, and every invariant was looked at."""
    findings = check(right())
    assert findings.violations == []
    assert set(findings.checked.values()) == {1}


def row(**changes: Any) -> Doctor:
    """Another row of the generator."""
    return lambda history: replace(history, rows={PLAN: replace(history.rows[PLAN], **changes)})


def versions(*added: RowVersion) -> Doctor:
    """More writes to the row."""
    return lambda history: replace(history, versions=[*history.versions, *added])


def ledger(*entries: LedgerRow) -> Doctor:
    """Another ledger."""
    return lambda history: replace(history, ledger=entries)


def upstream(*answers: Upstream) -> Doctor:
    """Other answers of the emulator."""
    return lambda history: replace(history, upstream=answers)


def told(*answers: Answer) -> Doctor:
    """Other answers to the synchronous call."""
    return lambda history: replace(history, calls=[CallLog(USER, list(answers))])


def cancelled_at(moment: float) -> Doctor:
    """The user cancelled."""
    return lambda history: replace(history, plans=[PlanLog(PLAN, USER, 1.0, cancelled_at=moment)])


def seen(change: Callable[[list[Connection]], None]) -> Doctor:
    """Other events at the viewer."""

    def doctor(history: History) -> History:
        connections = deepcopy(list(history.viewers[0].connections))
        change(connections)
        return replace(history, viewers=[ViewerLog("v", PLAN, connections)])

    return doctor


def put(connection: int, place: int, *events: Event) -> Doctor:
    """Insert events."""
    return seen(lambda connections: connections[connection].events.__setitem__(slice(place, place), events))


def drop(connection: int, place: int) -> Doctor:
    """Lose an event."""
    return seen(lambda connections: connections[connection].events.__delitem__(place))


def change(connection: int, place: int, other: Event) -> Doctor:
    """Put another event in an event's place."""
    return seen(lambda connections: connections[connection].events.__setitem__(place, other))


def finish(connection: Connection) -> Doctor:
    """One more connection."""
    return seen(lambda connections: connections.append(connection))


RESERVED = LedgerRow(PLAN, USER, "reserved", 0, 1)
USED = LedgerRow(PLAN, USER, "used", 1, -1)
COMPLETE = {"status": "completed", "progress": {"percent": 100}}

WRONG: dict[str, tuple[Invariant, Doctor]] = {
    "no end": ("I1", row(status="generating", ended_as=None)),
    "no row": ("I1", lambda history: replace(history, rows={})),
    "plan-api disagrees": (
        "I1",
        lambda history: replace(history, generations=[GenerationRow(PLAN, USER, "failed", "used")]),
    ),
    "two ends": ("I1", versions(RowVersion(PLAN, 8.5, "failed", 3, 1, None))),
    "announced before it was stored": ("I1", row(completed_at=8.2)),
    "another end announced than stored": ("I1", row(status="failed", ended_as="error")),
    "another seq announced than stored": ("I1", row(seq=3)),
    "connected is missing": ("I2", drop(0, 0)),
    "connected twice": ("I2", put(0, 1, event(1.0, "connected"))),
    "a gap": ("I2", put(1, 3, progress(7.0, "2.3", "/x", 1, 60))),
    "a repeat": ("I2", put(1, 3, progress(6.1, "2.1", "/x", 1, 50))),
    "the same snapshot again": ("I2", put(1, 2, event(5.1, "snapshot", "2.0", plan=None, progress={"percent": 10}))),
    "a new attempt without a snapshot": ("I2", drop(1, 1)),
    "an operation that does not fit": ("I2", put(1, 3, progress(6.1, "2.2", "/y/z", 1, 50))),
    "an operation got lost": ("I2", change(1, 2, progress(6.0, "2.1", "/monthly_summary", "o", 50, op="append"))),
    "the terminal event has another document": (
        "I2",
        change(1, 3, event(8.1, "complete", "2.2", plan={"monthly_summary": "Ro"}, **COMPLETE)),
    ),
    "words after the end": ("I2", put(1, 4, event(8.2, "complete", "2.2", plan=DOCUMENT, **COMPLETE))),
    "percent falls": ("I2", change(1, 2, progress(6.0, "2.1", "/monthly_summary", "ow", 9, op="append"))),
    "100 percent too early": ("I2", change(1, 2, progress(6.0, "2.1", "/monthly_summary", "ow", 100, op="append"))),
    "an id that is not the position": ("I2", change(1, 1, replace(viewer().connections[1].events[1], id="2.1"))),
    "204 for another cursor": ("I2", finish(Connection("a", "2.1", 9.0, 204))),
    "settled twice": ("I3", ledger(RESERVED, USED, LedgerRow(PLAN, USER, "released", 0, -1))),
    "never settled": ("I3", ledger(RESERVED)),
    "charged for nothing": ("I3", row(status="failed", ended_as="error", code="internal")),
    "not charged": (
        "I3",
        lambda history: replace(history, generations=[GenerationRow(PLAN, USER, "completed", "released")]),
    ),
    "the account is not the ledger's sum": ("I3", lambda history: replace(history, accounts={USER: Account(1, 1)})),
    "a unit too much": ("I3", lambda history: replace(history, accounts={USER: Account(2, 0)})),
    "a call booked twice": ("I3", lambda history: replace(history, booked=[UpstreamRow(PLAN, "g2")] * 2)),
    "an older attempt writes": ("I4", versions(RowVersion(PLAN, 8.5, "generating", 1, 5, FIRST))),
    "an older state is written": ("I4", versions(RowVersion(PLAN, 8.5, "completed", 2, 1, SECOND))),
    "two owners of an attempt": ("I4", versions(RowVersion(PLAN, 8.5, "completed", 2, 2, FIRST))),
    "an older attempt is seen": ("I4", put(1, 2, progress(5.1, "1.2", "/x", 1, 10))),
    "an older attempt is seen after a reconnect": (
        "I4",
        finish(Connection("a", "2.1", 9.0, 200, [event(9.0, "connected"), progress(9.1, "1.3", "/x", 1, 10)])),
    ),
    "upstream stays open": ("I5", upstream(Upstream("g2", PLAN, 5.0, None))),
    "upstream goes on after the end": ("I5", upstream(Upstream("g2", PLAN, 5.0, 10.5))),
    "upstream goes on after the cancel": ("I5", cancelled_at(6.5)),
    "upstream goes on after the grace period": (
        "I5",
        lambda history: replace(history, plans=[PlanLog(PLAN, USER, 1.0, abandoned_at=2.0)], versions=[]),
    ),
    "a viewer that never ends": ("I6", drop(1, 3)),
    "a caller is told before it was stored": ("I1", told(replace(TOLD, at=7.9))),
    "a caller is told of a failure": ("I1", told(TOLD, Answer(8.2, 502, None, None, "upstream_error"))),
    "a caller is told of another plan": ("I1", told(replace(TOLD, plan_id=SECOND))),
    "a caller is given another document": ("I2", told(replace(TOLD, document={}))),
    "a key makes two plans": (
        "I3",
        lambda history: replace(
            history, generations=[*history.generations, GenerationRow(FIRST, USER, "failed", "released")]
        ),
    ),
    "a caller is never answered": ("I6", told()),
    "a viewer that is turned away": ("I6", finish(Connection("a", "2.1", 9.0, 404))),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_history(name: str) -> None:
    """Each invariant is broken in each of its ways, and the checker says which one it was."""
    invariant, doctor = WRONG[name]
    assert invariant in caught(check_doctored(doctor))


def check_doctored(doctor: Doctor) -> Findings:
    """What is found in the doctored history."""
    return check(doctor(right()))


def caught(findings: Findings) -> set[str]:
    """The invariants that did not hold."""
    return {violation.invariant for violation in findings.violations}


@pytest.mark.parametrize(
    "doctor",
    [
        pytest.param(cancelled_at(6.95), id="closed within a second of the cancel"),
        pytest.param(
            lambda history: replace(cancelled_at(2.0)(history), frozen=[(1.5, 7.0)]), id="a frozen owner, on waking"
        ),
        pytest.param(
            lambda history: replace(history, plans=[PlanLog(PLAN, USER, 1.0, abandoned_at=2.0)]),
            id="left alone before a takeover",
        ),
        pytest.param(
            lambda history: replace(history, viewers=[ViewerLog("v", PLAN, left=True)]), id="a viewer that left"
        ),
        pytest.param(finish(Connection("a", "2.2", 9.0, 204)), id="204 for the terminal id"),
        pytest.param(finish(Connection("a", None, 9.0, None)), id="a gateway that is down"),
    ],
)
def test_still_right(doctor: Doctor) -> None:
    """What the design allows is no finding."""
    assert check_doctored(doctor).violations == []
