"""What happened in a run, as its witnesses recorded it, and whether the invariants I1 to I6 held.

The witnesses: each viewer's log over all its connections, what synchronous calls were told, the rows of the services'
slices with every version that the generator wrote (see `evidence`), and what the emulator served. Pure: values in, a
verdict out. All times are seconds since the epoch; the load takes them from the monotonic clock and shifts them, so
that they never go backwards.

I1  every accepted plan reaches exactly one terminal status, stored before it is announced.
I2  a viewer receives `connected`, then per attempt a contiguous run of seq or a snapshot; in the end it holds the
    stored document; resuming changes nothing of that.
I3  a reservation is settled exactly once; the ledger's sum equals the account; used = what DESIGN section 5 charges.
I4  nothing of an older attempt is visible after a newer one has begun, and no older attempt writes.
I5  upstream is closed within 1 s of a cancel and 2 s of the end of the grace period (a frozen owner: on waking).
I6  every open viewer of a plan ends, and every synchronous call that is repeated until it is certain.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

Invariant = Literal["I1", "I2", "I3", "I4", "I5", "I6"]
INVARIANTS: Final[tuple[Invariant, ...]] = ("I1", "I2", "I3", "I4", "I5", "I6")


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it arrived; `data` is the JSON text."""

    at: float
    name: str
    id: str
    data: bytes


@dataclass(slots=True)
class Connection:
    """One request for a stream. `status` is None when no answer came."""

    gateway: str
    cursor: str | None
    opened_at: float
    status: int | None = None
    events: list[Event] = field(default_factory=list)
    closed_at: float | None = None


@dataclass(slots=True)
class ViewerLog:
    """One viewer over all its connections; `left` when it went away for good before the end."""

    name: str
    plan_id: UUID | None = None
    connections: list[Connection] = field(default_factory=list)
    left: bool = False


@dataclass(slots=True)
class PlanLog:
    """What the user did with a plan: accepted, cancelled, or left alone by its last viewer."""

    plan_id: UUID
    user_id: UUID
    accepted_at: float
    cancelled_at: float | None = None
    abandoned_at: float | None = None


@dataclass(frozen=True, slots=True)
class PlanRow:
    """The generator's row at the end. `document` is the content, or else the partial content."""

    plan_id: UUID
    status: str
    ended_as: str | None
    attempt: int
    seq: int
    document: Any
    charge: str | None
    code: str | None
    completed_at: float | None


@dataclass(frozen=True, slots=True)
class RowVersion:
    """The generator's row after one write, in the order of the writes."""

    plan_id: UUID
    at: float
    status: str
    attempt: int
    seq: int
    owner: UUID | None


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """plan-api's row at the end."""

    plan_id: UUID
    user_id: UUID
    status: str
    quota_state: str


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One entry of the quota ledger."""

    plan_id: UUID
    user_id: UUID
    kind: str
    used_delta: int
    reserved_delta: int


@dataclass(frozen=True, slots=True)
class Account:
    """A user's quota account, over all periods."""

    used: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Upstream:
    """One answer that the emulator gave; `ended` is None while it is open."""

    id: str
    plan_id: UUID
    created: float
    ended: float | None
    # Upstream itself ended it before it was whole.
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a synchronous call was told for certain: the plan, or the code that it failed with."""

    at: float
    status: int
    plan_id: UUID | None
    document: Any
    code: str | None


@dataclass(slots=True)
class CallLog:
    """A synchronous call, which is the only plan of its user; `answers` says what each identical request was told."""

    user_id: UUID
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class UpstreamRow:
    """One upstream call as the generator booked it."""

    plan_id: UUID
    generation_id: str | None


@dataclass(frozen=True, slots=True)
class History:
    """Everything that was recorded of a run."""

    plans: Sequence[PlanLog]
    viewers: Sequence[ViewerLog]
    rows: Mapping[UUID, PlanRow]
    versions: Sequence[RowVersion]
    generations: Sequence[GenerationRow]
    ledger: Sequence[LedgerRow]
    accounts: Mapping[UUID, Account]
    upstream: Sequence[Upstream]
    booked: Sequence[UpstreamRow]
    grace_seconds: float
    calls: Sequence[CallLog] = ()
    # When an owner was frozen: its deadlines start anew when it wakes.
    frozen: Sequence[tuple[float, float]] = ()
    # When nobody could hear that a viewer left; the clock of the grace period starts anew then.
    unheard: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold."""

    invariant: Invariant
    of: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.of}: {self.what}"


class Findings:
    """Collects what was looked at and what was wrong with it."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._looked_at: dict[Invariant, set[str]] = {invariant: set() for invariant in INVARIANTS}

    def look_at(self, invariant: Invariant, of: object) -> None:
        """An invariant is being checked on this plan or viewer."""
        self._looked_at[invariant].add(str(of))

    def add(self, invariant: Invariant, of: object, what: str) -> None:
        """It does not hold."""
        self.violations.append(Violation(invariant, str(of), what))

    def expect(self, holds: bool, invariant: Invariant, of: object, what: str) -> None:
        """It must hold."""
        if not holds:
            self.add(invariant, of, what)

    @property
    def checked(self) -> dict[Invariant, int]:
        """On how many plans or viewers each invariant was checked."""
        return {invariant: len(of) for invariant, of in self._looked_at.items()}

    def summary(self) -> str:
        """The violations, the first of each kind in full."""
        kinds = Counter(violation.invariant for violation in self.violations)
        lines = [f"{count} x {invariant}" for invariant, count in sorted(kinds.items())]
        return "\n".join([", ".join(lines), *map(str, self.violations[:20])])
