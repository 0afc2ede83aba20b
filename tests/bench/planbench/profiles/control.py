"""The control plane while plans are written: starts as fast as plans end, status, and many cancels at once."""

from typing import Any

from planbench.rig import RATE, Rig

STATUS_PER_SECOND = 10.0
CANCELS = 15
PLANS_OF_FIVE_STARTS = 150
_PATIENCE_SECONDS = 30.0
_QUESTIONS = ("inputs", "firstEvent", "firstText", "status", "cancel", "cancelledEvent")


async def measure(rig: Rig, plans: int, tokens: int, seconds: float) -> dict[str, Any]:
    """With so many plans going, plans start as others end; asked for so many seconds.

    A plan of 1,500 tokens takes 30 s, so 150 plans at once are five starts a second. Of more plans at once each is
    longer, so that the starts stay five a second.
    """
    tokens *= max(1, plans // PLANS_OF_FIVE_STARTS)
    length = tokens / RATE
    rate = plans / length
    await rig.source.pace(tokens=tokens, rate=RATE)
    observation = await rig.observe(
        f"control at {plans} plans",
        (length, length + seconds),
        starts=int(rate * (length + seconds)),
        rate=rate,
        tokens_per_second=RATE,
        measure_from=length,
        measure_to=length + seconds,
        status_rate=STATUS_PER_SECOND,
        cancel_at=length + seconds / 2,
        cancels=CANCELS,
        seconds=length + seconds + length + _PATIENCE_SECONDS,
    )
    client, steady = observation.client, observation.steady
    return {
        "plans": plans,
        "startsPerSecond": round(rate, 2),
        "lost": client.lost,
        "cancelled": client.counts["cancelled"],
        "lagMs": client.histograms["lag"].milliseconds(),
        **{f"{name}Ms": client.histograms[name].milliseconds() for name in _QUESTIONS},
        "busy": steady.busy,
        "cpuPer1000Tokens": steady.cpu_per_1000_tokens,
    }
