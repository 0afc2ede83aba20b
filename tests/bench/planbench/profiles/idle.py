"""Streams on which nothing happens: their memory, what the heartbeats do, and half of them coming back at once."""

from collections.abc import Mapping
from typing import Any

from planbench.rig import RATE, TOKENS, Rig
from planbench.usage import read_usage
from planbench.yardstick import idle_memory

VIEWERS_PER_PLAN = 100
ENV = {"SILENCE_SECONDS": "3600", "STREAMING_TIMEOUT": "3600000", "MAX_STREAM_AGE_SECONDS": "3600"}
"""The plans stand still on purpose."""
_HELD_TOKENS = 60
_OPENED_PER_SECOND = 400.0
_SETTLE_SECONDS = 6.0
_RETURN_SECONDS = 12.0
_PROBES_PER_SECOND = 50.0


async def measure(rig: Rig, streams: int, seconds: float) -> dict[str, Any]:
    """Open `streams`, leave them idle for so many seconds, then let half of them reconnect."""
    viewers = min(VIEWERS_PER_PLAN, streams)
    plans = streams // viewers
    await rig.source.pace(tokens=TOKENS, rate=RATE, hold=_HELD_TOKENS, comment=10)
    idle_from = streams / _OPENED_PER_SECOND + _SETTLE_SECONDS
    memory: list[dict[str, int]] = [read_usage(rig.stack.pids, memory=True).memory]

    def on_second(line: Mapping[str, Any]) -> None:
        if line["second"] >= idle_from and len(memory) < 2:
            memory.append(read_usage(rig.stack.pids, memory=True).memory)

    observation = await rig.observe(
        f"{streams} idle streams",
        (idle_from, idle_from + seconds),
        on_second,
        starts=plans,
        rate=_OPENED_PER_SECOND / viewers,
        viewers=viewers,
        tokens_per_second=RATE,
        measure_from=idle_from,
        measure_to=idle_from + seconds,
        live_rate=_PROBES_PER_SECOND,
        reconnect_at=idle_from + seconds,
        reconnects=streams // 2,
        seconds=idle_from + seconds + _RETURN_SECONDS,
    )
    bare = await idle_memory(rig.programs, rig.cores, streams)
    client, steady = observation.client, observation.steady
    # At its end the client leaves all streams open: of what is not as it should be, only that.
    lost = client.lost - client.counts["unfinished"]
    kib = (memory[1]["gateway"] - memory[0]["gateway"]) / streams
    back = client.histograms["snapshot"]
    return {
        "streams": streams,
        "opened": client.counts["unfinished"],
        "lost": lost,
        "kib": round(kib, 2),
        "bareKib": bare["kib"],
        "beyondBareKib": round(kib - bare["kib"], 2),
        "loopLagMs": client.histograms["live"].milliseconds(),
        "busy": steady.busy,
        "reconnected": client.counts["reconnected"],
        "haveSnapshot": back.count,
        "snapshotMs": back.milliseconds(),
    }
