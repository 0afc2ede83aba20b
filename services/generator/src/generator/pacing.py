"""How long operations may wait for company before they are published: the interval follows the load."""

import asyncio
import time
from collections.abc import Callable

TICK_SECONDS = 0.25
LONGEST_INTERVAL = 0.2
# Below this share of a core the process has time to spare, and every chunk goes out at once.
SPARE = 0.25
FULL = 0.9
# A tick later than this says that the loop stood still: the process may be a zombie (design, section 6, rule 7).
FROZEN_SECONDS = 3.0


def interval_for(busy: float, lag: float, base: float) -> float:
    """Seconds between two events of a plan.

    Args:
        busy: share of one core that this process uses, 0 to 1.
        lag: how late the loop's timers are, seconds.
        base: PROGRESS_INTERVAL_MS, in seconds.
    """
    if busy < SPARE and lag < base:
        return 0.0
    stretch = max(0.0, min((busy - FULL / 2) / (FULL / 2), 1.0))
    return min(max(base + stretch * (LONGEST_INTERVAL - base), min(lag, LONGEST_INTERVAL)), max(LONGEST_INTERVAL, base))


class Pacer:
    """Measures this process and says the interval; `on_freeze` hears of a loop that stood still."""

    def __init__(self, base: float, on_freeze: Callable[[], None]) -> None:
        self._base = base
        self._on_freeze = on_freeze
        self.interval = 0.0
        self.busy = 0.0
        self.lag = 0.0

    async def run(self) -> None:
        """Measure, for ever."""
        loop = asyncio.get_running_loop()
        cpu = time.process_time()
        due = loop.time()
        while True:
            due += TICK_SECONDS
            await asyncio.sleep(due - loop.time())
            late = max(loop.time() - due, 0.0)
            if late > FROZEN_SECONDS:
                self._on_freeze()
            now = time.process_time()
            self.busy = 0.5 * self.busy + 0.5 * min((now - cpu) / (TICK_SECONDS + late), 1.0)
            self.lag = 0.5 * self.lag + 0.5 * late
            self.interval = interval_for(self.busy, self.lag, self._base)
            cpu = now
            due = loop.time()
