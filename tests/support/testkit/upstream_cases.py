"""Rows of a table of upstream's behaviours: what upstream does, and what is seen of the plan in the end. Pure."""

import json
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

from common.contracts.plan import DAYS, validate_plan
from testkit.viewer import Received

_PHASES = {"retrying": "r", "validating": "v"}
_ENDS = {"connected": "c", "complete": "C", "error": "E", "cancelled": "X"}


@dataclass(frozen=True)
class Calls:
    """A line of a script: the same behaviour, in the words of the emulator's control API, for so many calls.

    `times` None: for all that follow. `streamed` None: for calls of either kind.
    """

    behaviour: dict[str, Any]
    times: int | None = 1
    streamed: bool | None = None


def once(**behaviour: Any) -> Calls:
    """The next call goes like this."""
    return Calls(behaviour)


def always(**behaviour: Any) -> Calls:
    """All further calls go like this."""
    return Calls(behaviour, None)


def http(status: int, **error: Any) -> Calls:
    """The next call is refused."""
    return once(http_error={"status": status, **error})


@dataclass(frozen=True)
class End:
    """How a plan ended: its terminal event, the stored status, and what the user has paid (plans)."""

    event: str
    code: str | None
    status: str
    used: int


COMPLETED = End("complete", None, "completed", 1)


def failed(code: str) -> End:
    """It failed, and the user gets the plan's quota back."""
    return End("error", code, "failed", 0)


@dataclass(frozen=True)
class Case:
    """A row: the script, and what comes of it.

    Attributes:
        name: of the case.
        script: what upstream does, call by call; after that it behaves.
        sees: the viewer's events, as `pattern` has them.
        end: how the plan ends.
        purposes: of the upstream calls and of their usage rows, in order.
        sources: how the cost of each call is known: p(rovider) or e(stimated).
        waits: seconds from the first call to the second, at least.
    """

    name: str
    script: tuple[Calls, ...]
    sees: str
    end: End
    purposes: str
    sources: str
    waits: float = 0.0


@dataclass
class Outcome:
    """What is seen of a plan that has ended, from every side.

    Attributes:
        plan_id: which plan.
        sees: the viewer's events, as `pattern` has them.
        end: as the viewer, plan-api and the quota say it.
        generated: the status in the generator's row.
        ledger: the quota's movements.
        plan: the stored document.
        folded: what the viewer held before the terminal event.
        usage: what the terminal event says of the cost, if it does.
        requests: what upstream was asked, as the emulator recorded it.
        rows: the usage rows.
    """

    plan_id: UUID
    sees: str
    end: End
    generated: str
    ledger: str
    plan: Any
    folded: Any = None
    usage: dict[str, Any] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def purposes(self) -> str:
        """What the calls were for."""
        return " ".join(row["purpose"] for row in self.rows)

    @property
    def sources(self) -> str:
        """How the cost of each call is known."""
        return "".join(row["source"][0] for row in self.rows)

    @property
    def waited(self) -> float:
        """Seconds from the first call to the second."""
        return float(self.requests[1]["received"] - self.requests[0]["received"])

    def check(self, case: Case) -> None:
        """Hold what is seen against the row."""
        charge = "used" if case.end.used else "released"
        seen = [self.sees, self.end, self.generated, self.ledger, self.purposes, self.sources, len(self.requests)]
        expected = [case.sees, case.end, case.end.status, f"reserved {charge}", case.purposes, case.sources]
        assert seen == [*expected, len(case.sources)], f"\nseen     {seen}\nexpected {expected}"
        if case.waits:
            assert self.waited >= case.waits
        if case.end is COMPLETED:
            validate_plan(self.plan, 4)
        assert self.folded == self.plan


def pattern(events: list[Received]) -> str:
    """A stream in letters, one for each run of like events.

    c: connected. s: the first snapshot. n: a later one, of nothing. k: a later one, of what is kept. w: text was
    written. r, v: the phase became retrying, validating. C, E, X: complete, error, cancelled.
    """
    said = "".join(letter for letter, _ in groupby(_letter(event) for event in events))
    first = min((found for found in (said.find("n"), said.find("k")) if found >= 0), default=-1)
    return said if first < 0 else f"{said[:first]}s{said[first + 1 :]}"


def _letter(event: Received) -> str:
    match event.name:
        case "snapshot":
            return "n" if event.data["plan"] is None else "k"
        case "progress":
            return "w" if event.data["ops"] else _PHASES.get(event.data["progress"]["phase"], "?")
        case name:
            return _ENDS[name]


def short_plan(weeks: int = 4) -> dict[str, Any]:
    """A small valid plan, for scripts that must know the text."""
    summary = "Four short weeks that end with a small concert."
    document = {"monthly_summary": summary, "weekly_breakdown": [_week(number) for number in range(1, weeks + 1)]}
    validate_plan(document, weeks)
    return document


def _week(number: int) -> dict[str, Any]:
    task = {"description": f"Page {number}, slowly.", "focus_area": "Bowing"}
    days: dict[str, list[dict[str, str]]] = {day: [] for day in DAYS}
    days["sunday"] = [task | {"start_time": "18:00", "end_time": "18:45"}]
    focus = f"Play the piece {number} times without a stop"
    return {"week": number, "focus": focus, "goals": [f"Learn page {number} by heart"], "daily_tasks": days}


def text_of(document: Any) -> str:
    """A document as a model writes it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
