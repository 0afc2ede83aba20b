"""What the writer of a stream waits for: like an `asyncio.Event` that one task alone waits for, at half the cost."""

import asyncio
from collections.abc import Callable


class Wake:
    """Set from anywhere in the loop; `wait` takes it down again, so that nothing set meanwhile is lost.

    Attributes:
        first: tried before the one who waits is woken, in a callback of the loop; when it returns True there is nothing
            left to do for him, and he sleeps on.
    """

    __slots__ = ("_set", "_waiter", "first")

    def __init__(self) -> None:
        self.first: Callable[[], bool] | None = None
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let the one who waits go on, or the next one who comes."""
        if self._set:
            return
        self._set = True
        if self._waiter is None:
            return
        if self.first is None:
            self._rouse()
        else:
            asyncio.get_running_loop().call_soon(self._try)

    def _try(self) -> None:
        # He may have given up meanwhile, and come again.
        if self._waiter is None or not self._set:
            return
        done = False
        try:
            done = self.first is not None and self.first()
        finally:
            # Also after an error, which is the loop's to report: nothing else would ever wake him.
            if done:
                self._set = False
            else:
                self._rouse()

    def _rouse(self) -> None:
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
