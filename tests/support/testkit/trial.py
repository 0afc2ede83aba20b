"""One fault under load: begin the load, let the fault bite, end everything, judge, and write the table's row."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from local_stack import Stack
from testkit.evidence import collect, unsettled
from testkit.history import Findings, History, Invariant
from testkit.invariants import check
from testkit.load import Load, Scale
from testkit.proxy import Switchboard
from testkit.recorder import now, until
from testkit.recovery import healthy

# NATS or Postgres back → all healthy.
RECOVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the model writes: so many pieces a second, of so many characters."""

    tokens_per_second: float
    chars_per_token: int


@dataclass(slots=True)
class Row:
    """A line of the table. `recovery` and `bound` are seconds; `checked` says on how many plans each invariant was."""

    fault: str
    seed: int
    plans: int = 0
    viewers: int = 0
    checked: dict[Invariant, int] = field(default_factory=dict)
    violations: int = 0
    witness: str = ""
    measured: str = "recovery"
    unit: str = "s"
    # Speed is shown and not asserted: it is the machine's as much as ours.
    asserted: bool = True
    recovery: float | None = None
    bound: float | None = None
    met: bool = False


@dataclass(slots=True)
class Arena:
    """What the faults of a run share: a stack behind proxies, the size of the load and the seed."""

    stack: Stack
    switchboard: Switchboard
    scale: Scale
    seed: int
    grace_seconds: float
    rows: list[Row]


@dataclass(slots=True)
class Trial:
    """A fault under way. Say that it bit with `witness`, and how long what it is measured by took with `measure`."""

    arena: Arena
    load: Load
    rng: random.Random
    row: Row
    frozen: list[tuple[float, float]] = field(default_factory=list)
    unheard: list[tuple[float, float]] = field(default_factory=list)
    history: History | None = None
    findings: Findings | None = None

    @property
    def stack(self) -> Stack:
        """The stack that suffers."""
        return self.arena.stack

    @property
    def switchboard(self) -> Switchboard:
        """The proxies around it."""
        return self.arena.switchboard

    def witness(self, bit: object, what: str) -> None:
        """The fault bit: fails when `bit` is false."""
        assert bit, f"{self.row.fault}: did not bite: {what}"
        self.row.witness = what if not self.row.witness else f"{self.row.witness}; {what}"

    def measure(self, value: float, bound: float, what: str = "recovery", *, unit: str = "s") -> None:
        """How long it took, and may take; the longest counts. In another unit than seconds it is not asserted."""
        self.row.measured, self.row.bound, self.row.unit, self.row.asserted = what, bound, unit, unit == "s"
        self.row.recovery = max(self.row.recovery or 0.0, value)

    async def end(self, seconds: float = 90) -> History:
        """Wait for every viewer's end and every settlement, and collect the history."""
        await self.load.finish(seconds)
        deadline = time.monotonic() + 50
        while await unsettled(self.stack, self.load.users) and time.monotonic() < deadline:
            await asyncio.sleep(0.25)
        self.history = await collect(
            self.stack, self.load, self.arena.grace_seconds, frozen=self.frozen, unheard=self.unheard
        )
        return self.history

    async def recovers(self, since: float, bound: float = RECOVERY_SECONDS) -> None:
        """Wait until all is healthy, and measure it; no service may have been restarted meanwhile."""
        await healthy(self.stack)
        self.measure(now() - since, bound)

    def judge(self) -> None:
        """Check the history and fill the row.

        Raises:
            AssertionError: an invariant or the bound was broken, nothing was checked, or the fault did not bite.
        """
        assert self.history is not None
        self.findings = check(self.history)
        row = self.row
        row.plans, row.viewers = len(self.history.generations), len(self.history.viewers)
        row.checked = self.findings.checked
        row.violations = len(self.findings.violations)
        in_time = row.recovery is None or row.bound is None or row.recovery <= row.bound
        row.met = bool(in_time and row.plans and row.witness and not row.violations and not self.load.problems)
        assert not row.violations, self.findings.summary()
        assert not self.load.problems, self.load.problems[:5]
        assert row.plans, "no plan was checked"
        assert row.witness, "nothing says that the fault bit"
        assert in_time or not row.asserted, f"{row.measured} took {row.recovery:.1f} s, and may take {row.bound} s"


@asynccontextmanager
async def trial(
    arena: Arena, fault: str, *, scale: Scale | None = None, pace: Pace | None = None
) -> AsyncIterator[Trial]:
    """Run a load; the block injects the fault once all plans are live; afterwards everything ends and is judged."""
    row = Row(fault, arena.seed)
    arena.rows.append(row)
    rng = random.Random(f"{arena.seed} {fault}")
    async with _paced(arena.stack, pace), Load(arena.stack, rng, scale or arena.scale) as load:
        under_way = Trial(arena, load, rng, row)
        await until(load.streaming, 30, "every plan is live")
        await asyncio.sleep(rng.uniform(1, 2.5))
        yield under_way
        if under_way.history is None:
            await under_way.end()
    under_way.judge()


@asynccontextmanager
async def _paced(stack: Stack, pace: Pace | None) -> AsyncIterator[None]:
    """Another pace of the emulator for as long as the block lasts."""
    url = f"{stack.addresses.emulator_control}/behaviours"
    async with httpx.AsyncClient() as client:
        if pace is not None:
            answer = await client.post(url, json={"behaviour": asdict(pace), "times": None})
            assert answer.status_code == httpx.codes.CREATED, answer.text
        try:
            yield
        finally:
            await client.delete(url)


def claims_after(history: History, since: float) -> list[float]:
    """When plans that had been written before were claimed anew."""
    last: dict[object, int] = {}
    claimed = []
    for version in history.versions:
        if version.at > since and version.attempt > last.get(version.plan_id, version.attempt):
            claimed.append(version.at)
        last[version.plan_id] = max(version.attempt, last.get(version.plan_id, 0))
    return claimed


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| fault | plans | viewers | invariants (plans checked) | measured | took | bound | met | how it bit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        checked = " ".join(f"{invariant}:{count}" for invariant, count in row.checked.items())
        took = "-" if row.recovery is None else f"{row.recovery:.2f} {row.unit}"
        bound = "-" if row.bound is None else f"{row.bound:g} {row.unit}"
        cells = (
            row.fault,
            row.plans,
            row.viewers,
            checked,
            row.measured,
            took,
            bound,
            "yes" if row.met else "NO",
            row.witness,
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def write_json(rows: list[Row], path: Path) -> None:
    """The rows for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
