"""Full garbage collections by the clock, and not in the middle of a burst.

CPython starts one when many objects have been made, so just when many requests come at once, and then all of them wait
for as long as it takes to look at everything: 0.1 to 0.35 s with 450 streams open, a second and more with 10,000.
Source: the module `gc`, and "Generational garbage collection" in CPython's developer guide, whose rule this is.
"""

import asyncio
import gc
from typing import Final

# Until everything is imported and opened.
SETTLE_SECONDS: Final = 3.0
PERIOD_SECONDS: Final = 10.0
# While timers are later than this, somebody waits for us: a collection waits too, for so long at most.
LATE_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 5.0
# The share of new objects from which on it pays to look at all: then the work grows with the objects and no faster.
WORTH_IT: Final = 0.25
# Young objects are looked at as always. Should some seven million be made within one period, the clock is too slow.
RARELY: Final = 1000


async def collect_by_the_clock(settle: float = SETTLE_SECONDS, period: float = PERIOD_SECONDS) -> None:
    """Collect for ever. What the process consists of is looked at once, and then left alone (`gc.freeze`)."""
    await asyncio.sleep(settle)
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, RARELY)
    living = 0
    while True:
        await asyncio.sleep(period)
        made = gc.get_count()[2] * middle * young
        if made > WORTH_IT * living:
            await _calm()
            gc.collect()
            living = len(gc.get_objects())


async def _calm() -> None:
    """Return when the loop keeps up, or when patience ends."""
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE_SECONDS
    while (began := clock()) < until:
        await asyncio.sleep(LATE_SECONDS)
        if clock() - began < 2 * LATE_SECONDS:
            return
