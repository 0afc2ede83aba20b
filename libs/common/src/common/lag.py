"""How far the event loop is behind: what a gateway tells the generators, and every service its operator."""

import asyncio

PERIOD = 0.1
# An average over about half a second: what lasts is to be heard of, and one late timer is not.
WEIGHT = 0.2


class LoopLag:
    """Milliseconds by which timers are late."""

    def __init__(self) -> None:
        self.milliseconds = 0.0

    async def measure(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(PERIOD)
            late = max(0.0, (loop.time() - before - PERIOD) * 1000)
            self.milliseconds += WEIGHT * (late - self.milliseconds)
