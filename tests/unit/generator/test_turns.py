"""Whose turn it is to be read, and who need not wait for one."""

import asyncio
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator import turns as module
from generator.turns import MOST_GIVEN_WAY_SECONDS, TICK_SECONDS, BeforeRead, Turns, due

TICKS = st.integers(1, 100)
SEATS = st.integers(0, 10_000)
NOW = st.integers(0, 10**9)


class Upstream:
    """A stream, and how often it was paused; `flows` while it is not."""

    def __init__(self, *, flowing: bool = True) -> None:
        self.flowing = flowing
        self.chars = 0
        self.pauses = 0
        self.flows = asyncio.Event()
        self.flows.set()

    def pause(self) -> None:
        self.pauses += 1
        self.flows.clear()

    def resume(self) -> None:
        self.flows.set()

    async def read(self, before_read: BeforeRead) -> None:
        """A read, which brings nothing before the socket is read again."""
        before_read(self)
        await self.flows.wait()


@given(NOW, SEATS, TICKS)
def test_a_turn_comes_within_the_interval_and_then_in_every_interval(now: int, seat: int, ticks: int) -> None:
    """Nobody waits longer than an interval, and who reads in its turn has the next one an interval later."""
    turn = due(now, seat, ticks)
    assert now < turn <= now + ticks
    assert due(turn, seat, ticks) == turn + ticks


@given(NOW, SEATS, TICKS, st.integers(1, 10))
def test_turns_are_spread_evenly(now: int, first: int, ticks: int, rounds: int) -> None:
    """Plans that were seated one after the other have their turns in different ticks, as many in each."""
    turns = Counter(due(now, seat, ticks) for seat in range(first, first + rounds * ticks))
    assert set(turns.values()) == {rounds}
    assert len(turns) == ticks


@pytest.mark.parametrize(
    ("interval", "flowing", "chars"),
    [(0.0, True, 4), (0.2, False, 4), (0.2, True, 1024)],
    ids=["time to spare", "before the first data or at the end", "a large read"],
)
async def test_who_need_not_wait(interval: float, flowing: bool, chars: int) -> None:
    """Nothing is paused, and the next read is made at once."""
    upstream = Upstream(flowing=flowing)
    before_read = Turns(lambda: interval).reader(most_chars=1024)
    upstream.chars += chars
    before_read(upstream)
    assert upstream.pauses == 0


class LateLoop:
    """A loop whose one timer fires when the test says so."""

    def __init__(self) -> None:
        self.now = self.when = 0.0
        self._timer: Callable[[], None] = lambda: None

    def time(self) -> float:
        """Now."""
        return self.now

    def call_at(self, when: float, timer: Callable[[], None]) -> object:
        """Set the timer."""
        self.when, self._timer = when, timer
        return object()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call."""
        callback()

    def fire(self, late: float) -> None:
        """Let the timer fire so late."""
        self.now = self.when + late
        self._timer()


def test_late_timers_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each timer is late by a millisecond or so, and after a second the turns are still in time.

    After a long wait they do not come one upon the other to make good for it.
    """
    loop = LateLoop()
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    turns = Turns(lambda: 2 * TICK_SECONDS)
    plans = [(Upstream(), turns.reader(most_chars=1024)) for _ in range(2)]
    late = 0.2 * TICK_SECONDS

    def turn(late: float) -> None:
        for upstream, before_read in plans:
            if upstream.flows.is_set():
                before_read(upstream)
        loop.fire(late)

    for _ in range(100):
        turn(late)
    assert loop.now == pytest.approx(100 * TICK_SECONDS + late)
    turn(5 * TICK_SECONDS)
    assert loop.when >= loop.now + TICK_SECONDS / 2


async def test_everybody_has_a_turn() -> None:
    """Paused plans go on within an interval, and as often as others; one that is cancelled disturbs nobody."""
    turns, reads = Turns(lambda: 3 * TICK_SECONDS), Counter[int]()

    async def read(seat: int) -> None:
        upstream, before_read = Upstream(), turns.reader(most_chars=1024)
        for number in range(1, 6):
            upstream.chars += 4
            await upstream.read(before_read)
            reads[seat] += 1
            assert upstream.pauses == number

    readers = [asyncio.create_task(read(seat)) for seat in range(7)]
    await asyncio.sleep(0)
    readers.pop(0).cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*readers)
    assert reads == dict.fromkeys(range(1, 7), 5)


async def test_turns_follow_the_interval() -> None:
    """Who waits when the load is over has its turn, and the next read is made at once."""
    interval = 2 * TICK_SECONDS
    turns, upstream = Turns(lambda: interval), Upstream()
    before_read = turns.reader(most_chars=1024)
    before_read(upstream)
    interval = 0.0
    await asyncio.wait_for(upstream.flows.wait(), 5)
    before_read(upstream)
    assert upstream.pauses == 1


async def test_a_turn_that_fails_is_one_alone() -> None:
    """The wheel turns on, and those whose turn comes later have it."""
    turns, broken, others = Turns(lambda: 3 * TICK_SECONDS), Upstream(), [Upstream() for _ in range(6)]
    broken.resume = lambda: 1 / 0  # type: ignore[method-assign,assignment]
    loop, errors = asyncio.get_running_loop(), list[dict[str, object]]()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    for upstream in (broken, *others):
        turns.reader(most_chars=1024)(upstream)
    async with asyncio.timeout(5):
        await asyncio.gather(*(upstream.flows.wait() for upstream in others))
    assert [type(error["exception"]) for error in errors] == [ZeroDivisionError]


async def _until_its_turn(turns: Turns) -> float:
    """How long a plan waits that asks for a turn now, seconds."""
    upstream, clock = Upstream(), asyncio.get_running_loop().time
    began = clock()
    await asyncio.wait_for(upstream.read(turns.reader(most_chars=1024)), 5)
    assert upstream.pauses == 1
    return clock() - began


async def test_turns_give_way() -> None:
    """What somebody waits for comes first: nobody has a turn before it is done, and then everybody again."""
    turns = Turns(lambda: 2 * TICK_SECONDS)
    with turns.given_way(), turns.given_way():
        waiting = asyncio.create_task(_until_its_turn(turns))
        await asyncio.sleep(MOST_GIVEN_WAY_SECONDS / 2)
        assert not waiting.done()
    assert await waiting < MOST_GIVEN_WAY_SECONDS


async def test_turns_give_way_for_so_long_only() -> None:
    """What is never done, as while Postgres is away, stops no other plan; the next time they give way again."""
    turns = Turns(lambda: 2 * TICK_SECONDS)
    with turns.given_way():
        assert await _until_its_turn(turns) >= MOST_GIVEN_WAY_SECONDS
        assert await _until_its_turn(turns) < MOST_GIVEN_WAY_SECONDS
    with turns.given_way():
        assert await _until_its_turn(turns) >= MOST_GIVEN_WAY_SECONDS
