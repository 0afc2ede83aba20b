"""How long a plan waits for its next turn to be read and published: the interval follows the load."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TICK_SECONDS = 0.25
LONGEST_INTERVAL = 0.2
# The load at which plans begin to take turns. That more than halves what a token costs, so it ends far below.
BUSY = 0.4
SPARE = 0.18
# The load, and the lag in seconds, at which the interval is the longest.
FULL = 0.65
LATE = 0.05
# A gateway says its lag in viewer replies, of which each plan asks for one in 10 s: it is believed for about as long.
GATEWAY_HALF_LIFE = 5.0
# A tick later than this says that the loop stood still: the process may be a zombie (design, section 6, rule 7).
FROZEN_SECONDS = 3.0

_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
_GATEWAY_KEEP: Final = 0.5 ** (TICK_SECONDS / GATEWAY_HALF_LIFE)


def interval_for(load: float, lag: float, base: float, *, taking_turns: bool) -> float:
    """Seconds between two turns of a plan; 0: no turns, every chunk is served at once.

    It never falls as load or lag rise, and is 0 or from `base` to LONGEST_INTERVAL (or to `base`, should that be more).

    Args:
        load: share of the time in which this process runs or would like to, 0 to 1.
        lag: how late timers are, here or at a gateway, seconds.
        base: PROGRESS_INTERVAL_MS, in seconds.
        taking_turns: whether the interval before was longer than 0.
    """
    if load < (SPARE if taking_turns else BUSY) and lag < LATE:
        return 0.0
    stretch = min(max((load - BUSY) / (FULL - BUSY), lag / LATE, 0.0), 1.0)
    return base + stretch * max(LONGEST_INTERVAL - base, 0.0)


def wanted_seconds() -> float:
    """How long this thread has run or waited for a core since it began.

    The waiting tells that the core is busy though not with us: with NATS, Postgres or a gateway beside us. Where the
    system does not say it, it is the time that this process has run. Source: sched-stats in the kernel's documents.
    """
    try:
        ran, waited, _ = map(int, _SCHEDSTAT.read_bytes().split())
    except (OSError, ValueError):
        ran = waited = 0
    return (ran + waited) / 1e9 if ran else time.process_time()


class Pacer:
    """Measures this process, hears of the gateways, and says the interval.

    Attributes:
        interval: seconds between two turns of a plan.
        load: as `interval_for` takes it, smoothed over about half a second; so is `lag`.
        gateway_lag: the longest that a gateway has said, fading.
    """

    def __init__(self, base: float, on_freeze: Callable[[], None]) -> None:
        """Args: `base` as for `interval_for`; `on_freeze` hears of a loop that stood still."""
        self._base = base
        self._on_freeze = on_freeze
        self.interval = 0.0
        self.load = 0.0
        self.lag = 0.0
        self.gateway_lag = 0.0

    def hear(self, lag: float) -> None:
        """A gateway's loop is late by so many seconds."""
        self.gateway_lag = max(self.gateway_lag, lag)

    async def run(self) -> None:
        """Measure, for ever."""
        loop = asyncio.get_running_loop()
        began, wanted = loop.time(), wanted_seconds()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            began, before = loop.time(), began
            wanted, wanted_before = wanted_seconds(), wanted
            self.take(began - before, wanted - wanted_before)

    def take(self, elapsed: float, wanted: float) -> None:
        """Decide anew after a tick that took `elapsed` seconds, in which this thread wanted a core for `wanted`."""
        late = max(elapsed - TICK_SECONDS, 0.0)
        if late > FROZEN_SECONDS:
            self._on_freeze()
        self.load = 0.5 * self.load + 0.5 * min(wanted / elapsed, 1.0)
        self.lag = 0.5 * self.lag + 0.5 * late
        self.gateway_lag *= _GATEWAY_KEEP
        lag = max(self.lag, self.gateway_lag)
        self.interval = interval_for(self.load, lag, self._base, taking_turns=self.interval > 0)
