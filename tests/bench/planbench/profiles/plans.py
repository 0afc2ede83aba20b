"""Plans that are all written at once, each followed by one viewer: lag of every token, CPU, updates, losses."""

from dataclasses import dataclass
from typing import Any

from planbench.histogram import Histogram
from planbench.rig import RATE, Observation, Rig

STARTS_PER_SECOND = 30.0
_SETTLE_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one run says: its figures, and the lag of each of its tokens."""

    figures: dict[str, Any]
    lag: Histogram


async def measure(rig: Rig, plans: int, tokens: int, viewers: int = 1) -> Run:
    """One run."""
    ramp = plans / STARTS_PER_SECOND
    length = tokens / RATE
    await rig.source.pace(tokens=tokens, rate=RATE)
    begin = ramp + _SETTLE_SECONDS
    observation = await rig.observe(
        f"{plans} plans of {tokens} tokens, {viewers} viewers each",
        (begin, max(length - _SETTLE_SECONDS, begin + 2)),
        opened=plans,
        starts=plans,
        rate=STARTS_PER_SECOND,
        viewers=viewers,
        tokens_per_second=RATE,
        seconds=ramp + length + _PATIENCE_SECONDS,
    )
    known = await rig.source.stats()
    return Run(_figures(observation, plans, viewers, known["planMarked"]), observation.client.histograms["lag"])


def _figures(observation: Observation, plans: int, viewers: int, marked: int) -> dict[str, Any]:
    client, steady = observation.client, observation.steady
    updates = client.histograms["updatesPerHour"]
    # Each viewer must have seen every text, which holds also when two mistakes hide each other within a viewer.
    missing = abs(plans * viewers * marked - client.counts["texts"])
    unended = abs(plans * viewers - client.counts["completed"])
    return {
        "plans": plans,
        "viewers": viewers,
        "tokens": observation.whole.tokens,
        "texts": client.counts["texts"],
        "lost": client.lost + missing + unended,
        "lagMs": client.histograms["lag"].milliseconds(),
        "gapMs": client.histograms["gap"].milliseconds(),
        "updatesPerSecond": round(updates.quantile(0.5) / 3600, 2),
        "updatesPerSecondLeast": round(updates.least / 3600, 2),
        "eventBytes": round(client.histograms["eventBytes"].mean, 1),
        "events": client.counts["updates"],
        "steadySeconds": round(steady.seconds, 2),
        "steadyTokens": steady.tokens,
        "steadyEvents": steady.updates,
        "steadyCpu": {name: round(seconds, 3) for name, seconds in steady.cpu.items()},
        "cpuPer1000Tokens": steady.cpu_per_1000_tokens,
        "cpuPer1000TokensWhole": observation.whole.cpu_per_1000_tokens,
        "busy": steady.busy,
        "clientBusy": round(client.cpu_seconds / client.seconds, 4),
    }
