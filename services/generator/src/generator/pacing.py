"""How long a plan waits for its next turn to be read and published: the interval follows the load."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TICK_SECONDS = 0.25
BUSY_INTERVAL = 0.07
LONGEST_INTERVAL = 0.2
# The load up to which there is time to spare, the load that is ordinary, between which loads a core is busy and keeps
# up, and the load of one that is full soon: a plan costs Postgres, NATS and the gateway beside us as much again. While
# it is busy the interval stays as it is, because each change moves everybody's turn, and some wait longer for it.
SPARE = 0.20
ORDINARY = 0.25
BUSY = (0.28, 0.38)
FULL = 0.50
# How late timers are when nothing is wrong, and when the interval is to be the longest; seconds.
PUNCTUAL = 0.005
LATE = 0.05
# Waiting for a core counts less than running on it: who waits may still be in time, and lag tells when he is not.
WAITING = 0.25
# How much of what was measured before is kept at each tick. Costs fall as the interval grows, so load is followed with
# some patience: it would swing otherwise.
KEEP_LOAD = 0.8
KEEP_LAG = 0.5
# A gateway says its lag in viewer replies, of which each plan that ends with its viewers asks for one in 10 s: it is
# believed for about as long. Where all plans go on without viewers, nobody hears of it.
GATEWAY_HALF_LIFE = 5.0
# A tick later than this says that the loop stood still: the process may be a zombie (design, section 6, rule 7).
FROZEN_SECONDS = 3.0

_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
_KEEP_GATEWAY_LAG: Final = 0.5 ** (TICK_SECONDS / GATEWAY_HALF_LIFE)


def interval_for(load: float, lag: float, base: float) -> float:
    """Seconds between two turns of a plan; 0: no turns, every chunk is served at once.

    It never falls as load or lag rise, and never passes LONGEST_INTERVAL (or `base`, should that be more).

    Args:
        load: share of a core that this process uses, and somewhat more when it has to wait for it.
        lag: how late timers are, here or at a gateway, seconds.
        base: PROGRESS_INTERVAL_MS in seconds, which is for the ordinary load.
    """
    busy, longest = max(BUSY_INTERVAL, base), max(LONGEST_INTERVAL, base)
    begins, ends = BUSY
    by_load = (
        base * _ramp(load, SPARE, ORDINARY)
        + (busy - base) * _ramp(load, ORDINARY, begins)
        + (longest - busy) * _ramp(load, ends, FULL)
    )
    return max(by_load, longest * _ramp(lag, PUNCTUAL, LATE))


def _ramp(value: float, start: float, end: float) -> float:
    return min(max((value - start) / (end - start), 0.0), 1.0)


def load_seconds() -> float:
    """The seconds that this thread has run since it began, and a part of those that it has waited for a core.

    The waiting tells of a core that is busy though not with us: with NATS, Postgres or a gateway beside us. Where the
    system does not say it, it is the time that this process has run. Source: sched-stats in the kernel's documents.
    """
    try:
        ran, waited, _ = map(int, _SCHEDSTAT.read_bytes().split())
    except (OSError, ValueError):
        ran = waited = 0
    return (ran + WAITING * waited) / 1e9 if ran else time.process_time()


class Pacer:
    """Measures this process, hears of the gateways, and says the interval.

    Attributes:
        interval: seconds between two turns of a plan.
        load: as `interval_for` takes it, smoothed over about a second; `lag` over half a second.
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
        began, seconds = loop.time(), load_seconds()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            began, began_before = loop.time(), began
            seconds, seconds_before = load_seconds(), seconds
            self.take(began - began_before, seconds - seconds_before)

    def take(self, elapsed: float, seconds: float) -> None:
        """Decide anew after a tick that took `elapsed` seconds, in which `load_seconds` grew by so many."""
        late = max(elapsed - TICK_SECONDS, 0.0)
        if late > FROZEN_SECONDS:
            self._on_freeze()
        self.load += (1 - KEEP_LOAD) * (seconds / elapsed - self.load)
        self.lag += (1 - KEEP_LAG) * (late - self.lag)
        self.gateway_lag *= _KEEP_GATEWAY_LAG
        self.interval = interval_for(self.load, max(self.lag, self.gateway_lag), self._base)
