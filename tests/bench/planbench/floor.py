"""The floor: the same tokens straight from the source to the client, which proves that neither is the bottleneck."""

from typing import Any

from planbench.histogram import Histogram
from planbench.native import Programs, run_client, running_source


async def measure_floor(programs: Programs, *, streams: int, tokens: int, rate: float) -> dict[str, Any]:
    """Lag of every token with nothing between source and client, how late the source was, and how busy their core."""
    ramp = streams / 100
    async with running_source(programs, tokens, rate) as source:
        client = await run_client(
            programs,
            mode="direct",
            port=source.port,
            starts=streams,
            rate=100,
            tokens_per_second=rate,
            seconds=ramp + tokens / rate + 10,
        )
        stats = await source.stats()
    return {
        "streams": streams,
        "lost": client.lost + abs(stats["marked"] - client.counts["texts"]),
        "tokens": stats["tokens"],
        "lagMs": client.histograms["lag"].milliseconds(),
        "clientBusy": round(client.cpu_seconds / client.seconds, 4),
        "sourceBusy": round(stats["cpuSeconds"] / client.seconds, 4),
        "sourceLateMs": Histogram.read(stats["late"]).milliseconds(),
        "lagSteps": client.histograms["lag"].steps(),
    }
