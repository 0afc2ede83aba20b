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


@pytest.mark.parametrize("enough", [True, False])
async def test_what_is_tried_first_may_be_all(*, enough: bool) -> None:
    """One attempt for all that was set in a turn of the loop; who waits is woken only when it was not enough."""
    wake, tried = Wake(), list[bool]()

    def attempt() -> bool:
        tried.append(True)
        return enough

    wake.first = attempt
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    wake.set()
    wake.set()
    done, _ = await asyncio.wait({waiting}, timeout=0.02)
    assert (bool(done), tried) == (not enough, [True])
    wake.first = None
    wake.set()
    await waiting


async def test_nothing_is_tried_while_nobody_waits() -> None:
    """A writer that is busy finds what was set when it comes back."""
    wake = Wake()
    wake.first = lambda: pytest.fail("nobody waited")
    wake.set()
    await asyncio.sleep(0.01)
    await wake.wait()


async def test_an_error_of_what_is_tried_first_wakes_who_waits() -> None:
    """Otherwise nothing would: neither a close nor a heartbeat could end his wait."""
    wake, told = Wake(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    def attempt() -> bool:
        raise ZeroDivisionError

    wake.first = attempt
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    wake.set()
    await asyncio.wait_for(waiting, 1)
    assert isinstance(told[0], ZeroDivisionError)
