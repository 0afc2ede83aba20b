"""One fault under load: begin the load, let the fault bite, end everything, judge, and write the table's row."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from local_stack import Stack
from testkit.evidence import collect, unsettled
from testkit.fault_table import Row
from testkit.history import Findings, History
from testkit.invariants import check
from testkit.load import Load
from testkit.proxy import Switchboard
from testkit.recorder import now, until
from testkit.recovery import healthy
from testkit.scale import Pace, Scale
from testkit.scripts import upstream_plays

# NATS or Postgres back → all healthy.
RECOVERY_SECONDS = 5.0
# ack_wait, and what the takeover itself may take.
TAKEOVER_SECONDS = 15.0


@dataclass(slots=True)
class Arena:
    """What the faults of a run share: a stack behind proxies, the size of the load and the seed.

    `pace` leaves a fault time to bite while plans are written; `brisk` is for faults that need none.
    """

    stack: Stack
    switchboard: Switchboard
    scale: Scale
    pace: Pace
    brisk: Pace
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
        self.row.measured, self.row.unit, self.row.asserted = what, unit, unit == "s"
        self.row.bound = bound * self.arena.scale.patience
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
        row.calls, row.viewers = len(self.history.calls), len(self.history.viewers)
        row.plans = len(self.history.generations) - row.calls
        row.broken = len({answer.plan_id for answer in self.history.upstream if answer.broken})
        row.failed = sum(stored.status == "failed" for stored in self.history.rows.values())
        row.checked = self.findings.checked
        row.violations = len(self.findings.violations)
        in_time = row.recovery is None or row.bound is None or row.recovery <= row.bound
        problems = self.load.problems + self.load.unplayed(self.history)
        unchecked = [invariant for invariant, count in row.checked.items() if not count]
        row.met = bool(in_time and row.plans and row.witness and not (row.violations or problems or unchecked))
        assert not row.violations, self.findings.summary()
        assert not problems, problems[:5]
        assert not unchecked, f"checked on no plan: {unchecked}"
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
    control = arena.stack.addresses.emulator_control
    assert control is not None
    async with (
        Load(arena.stack, rng, scale or arena.scale) as load,
        upstream_plays(control, load.scripts, pace or arena.pace),
    ):
        await load.begin()
        under_way = Trial(arena, load, rng, row)
        await until(load.streaming, 30, "every plan is live")
        await asyncio.sleep(rng.uniform(1, 2.5))
        yield under_way
        if under_way.history is None:
            await under_way.end()
    under_way.judge()


def claims_after(history: History, since: float) -> list[float]:
    """When plans that had been written before were claimed anew."""
    last: dict[object, int] = {}
    claimed = []
    for version in history.versions:
        if version.at > since and version.attempt > last.get(version.plan_id, version.attempt):
            claimed.append(version.at)
        last[version.plan_id] = max(version.attempt, last.get(version.plan_id, 0))
    return claimed
