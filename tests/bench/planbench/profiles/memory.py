"""Whether memory stays flat while very many short plans come and go."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from planbench.rig import Rig
from planbench.usage import read_usage

SHORTEST_TOKENS = 170
"""A plan of four weeks with all its days cannot be shorter: that is nearly all structure."""
_TOKENS_PER_SECOND = 200.0
_STARTS_PER_SECOND = 40.0
AT_ONCE = 60
"""Somewhat more than are under way on a core that keeps up. On one that does not, starts wait for ends: otherwise plans
that wait would count as growth."""
_BURST = 120
_BURST_PER_SECOND = 1000.0
"""So many starts at once use every connection to PostgreSQL. The first use of each adds 3 MB to it, which is no growth,
but looks like it on a core that keeps up so well that some are needed late."""
_PATIENCE_SECONDS = 120.0
_SAMPLES = 40


async def measure(rig: Rig, plans: int, starts_per_second: float = _STARTS_PER_SECOND) -> dict[str, Any]:
    """Resident memory of each process while so many plans are made."""
    await rig.source.pace(tokens=SHORTEST_TOKENS, rate=_TOKENS_PER_SECOND)
    await rig.observe(
        f"{_BURST} starts at once",
        None,
        starts=_BURST,
        rate=_BURST_PER_SECOND,
        tokens_per_second=_TOKENS_PER_SECOND,
        seconds=_PATIENCE_SECONDS,
    )
    samples: list[tuple[int, dict[str, int]]] = []

    def on_second(line: Mapping[str, Any]) -> None:
        if line["ended"] >= len(samples) * plans / _SAMPLES:
            samples.append((line["ended"], read_usage(rig.stack.pids, memory=True).memory))

    observation = await rig.observe(
        f"{plans} short plans",
        None,
        on_second,
        starts=plans,
        rate=starts_per_second,
        at_once=AT_ONCE,
        tokens_per_second=_TOKENS_PER_SECOND,
        seconds=plans / starts_per_second * 3 + _PATIENCE_SECONDS,
    )
    client = observation.client
    samples.append((client.counts["completed"], read_usage(rig.stack.pids, memory=True).memory))
    return {
        "plans": plans,
        "completed": client.counts["completed"],
        "lost": client.lost,
        "plansPerSecond": round(client.counts["completed"] / client.seconds, 2),
        "cpuMsPerPlan": {name: round(cpu * 1000 / plans, 2) for name, cpu in observation.whole.cpu.items()},
        "lagMs": client.histograms["lag"].milliseconds(),
        "growth": growth(samples),
        "samples": [{"plans": done, "kib": kib} for done, kib in samples],
    }


def growth(samples: list[tuple[int, dict[str, int]]]) -> dict[str, float]:
    """By process, the last quarter's median memory over the second's: 1.0 is flat. The first quarter is warming up.

    The median, because one of PostgreSQL's vacuum workers, which is there for a moment, is as large as ten connections.
    """
    quarter = max(len(samples) // 4, 1)
    early, late = samples[quarter : 2 * quarter] or samples[:1], samples[-quarter:]

    def typical(of: list[tuple[int, dict[str, int]]], name: str) -> float:
        return median(kib[name] for _, kib in of)

    return {name: round(typical(late, name) / typical(early, name), 4) for name in samples[-1][1]}
