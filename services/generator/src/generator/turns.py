"""Under load plans take turns at reading: a wheel of short ticks, over which all plans are spread evenly."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Protocol

from generator import metrics

# Plans whose turn comes in the same tick are served together: one wake-up, one write to NATS and one read at the
# gateway do for all of them.
TICK_SECONDS = 0.01
# How long turns give way: about as long as the longest interval, so that a viewer hardly sees it.
MOST_GIVEN_WAY_SECONDS = 0.2


class Stream(Protocol):
    """What pacing needs of an upstream stream."""

    @property
    def flowing(self) -> bool:
        """Whether there may be much to read at once."""

    @property
    def chars(self) -> int:
        """How much content has come."""

    def pause(self) -> None:
        """Stop reading from the socket until `resume()`."""

    def resume(self) -> None:
        """Let the socket be read again; without a pause it does nothing."""


BeforeRead = Callable[[Stream], None]


def due(now: int, seat: int, ticks: int) -> int:
    """The first tick after `now` in which a seat has its turn, when each has one in so many ticks."""
    return now + 1 + (seat - now - 1) % ticks


class Turns:
    """Gives each plan one turn in every `interval()` seconds.

    Ticks are counted, not read from a clock: when the loop is behind, turns come later and bring more each, so the load
    falls by itself.
    """

    def __init__(self, interval: Callable[[], float]) -> None:
        self._interval = interval
        self._tick = 0
        self._waiting: dict[int, list[Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        # When the timer is to fire, in the loop's time.
        self._beat = 0.0
        self._seats = count()
        self._ahead = 0
        self._gave_way_from: float | None = None

    @contextmanager
    def given_way(self) -> Iterator[None]:
        """For what somebody waits for: meanwhile no turns are given, but only so long that what waits is not starved.

        The wheel stands still, and a plan's next turn brings what has come: that costs no more than it would have.
        """
        if self._timer is None:  # nobody waits who may have given way already
            self._gave_way_from = None
        self._ahead += 1
        try:
            yield
        finally:
            self._ahead -= 1

    def reader(self, most_chars: int) -> BeforeRead:
        """What one plan calls before each network read.

        With time to spare that does nothing. Else the socket is paused until the plan's turn, and the read, which
        waits meanwhile, takes all that has come; unless the last read brought `most_chars` or more, which is enough to
        go on with.
        """
        seat = next(self._seats)
        before = 0
        clock = asyncio.get_running_loop().time

        def before_read(stream: Stream) -> None:
            nonlocal before
            brought, before = stream.chars - before, stream.chars
            ticks = round(self._interval() / TICK_SECONDS)
            if not (ticks and stream.flowing and brought < most_chars):
                metrics.TOKEN_WAIT.observe(0.0)
                return
            stream.pause()
            began = clock()

            def go_on() -> None:
                stream.resume()
                metrics.TOKEN_WAIT.observe(clock() - began)

            self._in_turn(due(self._tick, seat, ticks), go_on)

        return before_read

    def _in_turn(self, tick: int, go_on: Callable[[], None]) -> None:
        self._waiting.setdefault(tick, []).append(go_on)
        if self._timer is None:
            self._beat = asyncio.get_running_loop().time()
            self._wind(self._beat)

    def _wind(self, now: float) -> None:
        """Set the timer for the next tick: timers are late by a millisecond or so, and that must not add up.

        A loop that is behind by more has at least half a tick for others; what was missed is not made up for.
        """
        self._beat = max(self._beat + TICK_SECONDS, now + TICK_SECONDS / 2)
        self._timer = asyncio.get_running_loop().call_at(self._beat, self._next)

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        if not self._gives_way(now):
            self._tick += 1
            for go_on in self._waiting.pop(self._tick, ()):
                # Each by itself, so that one that fails keeps nobody from going on.
                loop.call_soon(go_on)
        if self._waiting:
            self._wind(now)

    def _gives_way(self, now: float) -> bool:
        if not self._ahead:
            self._gave_way_from = None
            return False
        if self._gave_way_from is None:
            self._gave_way_from = now
        return now - self._gave_way_from < MOST_GIVEN_WAY_SECONDS
