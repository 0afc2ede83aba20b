"""What the writer of a stream waits for."""

import asyncio

import pytest

from stream_gateway.wake import Wake


async def test_what_is_set_before_is_not_lost() -> None:
    """Whoever comes after it was set goes on at once, and only once."""
    wake = Wake()
    wake.set()
    wake.set()
    await wake.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wake.wait(), 0.01)


async def test_who_waits_goes_on() -> None:
    """Set twice before the one who waits has run, it wakes him once."""
    wake = Wake()
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    wake.set()
    wake.set()
    await waiting
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wake.wait(), 0.01)


async def test_a_cancelled_wait_leaves_it_usable() -> None:
    """Who gave up waiting takes nothing from the next one."""
    wake = Wake()
    given_up = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    given_up.cancel()
    wake.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await wake.wait()
