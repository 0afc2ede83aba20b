"""What the writer of a stream waits for: like an `asyncio.Event` that one task alone waits for, at half the cost."""

import asyncio


class Wake:
    """Set from anywhere in the loop; `wait` takes it down again, so that nothing set meanwhile is lost."""

    __slots__ = ("_set", "_waiter")

    def __init__(self) -> None:
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let the one who waits go on, or the next one who comes."""
        self._set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Return when it is set, and take it down; one task at a time."""
        if not self._set:
            assert self._waiter is None, "two tasks wait"
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._set = False
