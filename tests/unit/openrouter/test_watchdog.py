"""The deadline on waiting, on a clock that the test moves."""

import heapq
from collections.abc import Callable

import pytest

from generator.openrouter.watchdog import Watchdog


class ManualTimer:
    """A timer that can be cancelled."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Do not call back."""
        self.cancelled = True


class ManualClock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._armed = 0

    def time(self) -> float:
        """Now."""
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> ManualTimer:
        """Call back once the clock has come to `when`."""
        timer = ManualTimer(callback)
        self._armed += 1
        heapq.heappush(self._timers, (when, self._armed, timer))
        return timer

    def advance(self, to: float) -> None:
        """Move the clock, firing what is due on the way."""
        while self._timers and self._timers[0][0] <= to:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if not timer.cancelled:
                timer.callback()
        self.now = to


class Expiries:
    """Counts expiries and remembers when."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.at: list[float] = []

    def __call__(self) -> None:
        self.at.append(self.clock.now)


@pytest.fixture
def clock() -> ManualClock:
    """A clock at zero."""
    return ManualClock()


@pytest.fixture
def expiries(clock: ManualClock) -> Expiries:
    """What the watchdog called."""
    return Expiries(clock)


@pytest.fixture
def watchdog(clock: ManualClock, expiries: Expiries) -> Watchdog:
    """A watchdog whose first deadline is at 10."""
    return Watchdog(clock, expiries, 10.0)


def test_expires_in_a_read(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """A read that waits past the deadline expires at it."""
    watchdog.enter()
    clock.advance(30)
    assert expiries.at == [10.0]
    assert watchdog.expired


def test_reads_without_progress_do_not_extend(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """Keep-alives end reads but leave the deadline where it is."""
    while not watchdog.expired and clock.now < 20:
        watchdog.enter()
        clock.advance(clock.now + 0.75)
        watchdog.leave()
    assert expiries.at == [10.0]


def test_progress_extends(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """Each progress starts the silence anew."""
    for second in range(1, 100):
        watchdog.enter()
        clock.advance(second)
        watchdog.leave()
        watchdog.allow(5)
    assert expiries.at == []
    watchdog.enter()
    clock.advance(200)
    assert expiries.at == [104.0]


def test_a_slow_consumer_does_not_expire(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """Time between reads does not count, however long."""
    watchdog.enter()
    clock.advance(4)
    watchdog.leave()
    clock.advance(1000)
    watchdog.enter()
    clock.advance(1005.9)
    assert expiries.at == []
    clock.advance(1010)
    assert expiries.at == [1006.0]


def test_a_pause_before_a_read_counts(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """Silence is silence also while the socket is paused; the consumer's own time before the pause is not."""
    watchdog.enter()
    clock.advance(4)
    watchdog.leave()
    clock.advance(104)
    watchdog.pause()
    clock.advance(105)
    watchdog.enter()
    clock.advance(120)
    assert expiries.at == [110.0]


def test_a_read_sees_what_came_in_the_pause(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """A deadline that passes in a pause does not expire before a read has had the time to look; progress clears it."""
    watchdog.enter()
    clock.advance(9)
    watchdog.leave()
    watchdog.pause()
    clock.advance(12)
    watchdog.enter()
    clock.advance(12.05)
    assert expiries.at == []
    watchdog.leave()
    watchdog.allow(10)
    watchdog.pause()
    watchdog.enter()
    clock.advance(30)
    assert expiries.at == [22.05]


def test_pauses_with_keep_alives_expire(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """A stream of nothing but keep-alives expires at the first read that has looked, though each finds one at once."""
    while not watchdog.expired and clock.now < 20:
        watchdog.pause()
        clock.advance(clock.now + 0.2)
        watchdog.enter()
        clock.advance(clock.now + 0.001)
        watchdog.leave()
    assert len(expiries.at) == 1
    assert 10 <= clock.now < 10.5


def test_an_earlier_deadline(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """The deadline can move nearer, as it does after the finish reason."""
    watchdog.enter()
    clock.advance(1)
    watchdog.leave()
    watchdog.allow(2)
    watchdog.enter()
    clock.advance(20)
    assert expiries.at == [3.0]


def test_closed(clock: ManualClock, watchdog: Watchdog, expiries: Expiries) -> None:
    """After close nothing expires."""
    watchdog.enter()
    watchdog.close()
    clock.advance(100)
    assert expiries.at == []
