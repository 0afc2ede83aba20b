"""Tasks with an owner: they end when they are told to."""

import asyncio

from common.tasks import background, end


async def stubborn(swallowed: list[int]) -> None:
    """Drops the first cancellation, as `wait_for` may."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if swallowed:
                raise
            swallowed.append(1)


async def test_a_swallowed_cancellation_is_repeated() -> None:
    """A task that loses the first cancellation still ends, and so does the block that waits for it."""
    swallowed: list[int] = []
    async with asyncio.timeout(5):
        task = asyncio.create_task(stubborn(swallowed))
        await asyncio.sleep(0)
        await end(task)
        assert (task.cancelled(), swallowed) == (True, [1])
        swallowed.clear()
        async with background("stubborn", lambda: stubborn(swallowed)):
            await asyncio.sleep(0)
        assert swallowed == [1]
