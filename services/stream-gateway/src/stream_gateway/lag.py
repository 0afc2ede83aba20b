"""How far the event loop is behind: what a generator slows its publishing by."""

import asyncio

PERIOD = 0.1
# A single late tick fades over about a second, so that a generator that asks now and then still hears of it.
KEEP = 0.8


class LoopLag:
    """Milliseconds by which a timer was late, as a peak that fades."""

    def __init__(self) -> None:
        self.milliseconds = 0.0

    async def measure(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(PERIOD)
            late = max(0.0, (loop.time() - before - PERIOD) * 1000)
            self.milliseconds = max(late, self.milliseconds * KEEP)
