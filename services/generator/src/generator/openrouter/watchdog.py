"""A deadline on waiting for the network that costs two or three clock readings per read."""

from collections.abc import Callable
from typing import Protocol

# The first read after a pause in which the deadline passed gets this long to see what came meanwhile.
LOOK_SECONDS = 0.1


class Timer(Protocol):
    """What a loop's `call_at` returns."""

    def cancel(self) -> None:
        """Do not call back."""


class Clock(Protocol):
    """The part of an event loop that a watchdog uses; times in seconds."""

    def time(self) -> float:
        """Now."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call back at that time."""


class Watchdog:
    """Calls `expire` when reading has waited past the deadline.

    Only time spent inside a read or in a pause before it counts, so a consumer that is slow itself never lets a healthy
    stream expire. The timer is armed once and re-armed when it fires early, instead of being moved at each read.
    """

    def __init__(self, clock: Clock, expire: Callable[[], None], deadline: float) -> None:
        """Args: `clock` is the running loop; `deadline` in its time."""
        self._clock = clock
        self._expire = expire
        self._deadline = deadline
        self._timer: Timer | None = None
        self._armed_for = 0.0
        self._waiting = False
        self._left_at: float | None = None
        self._paused_at: float | None = None
        self._not_before = 0.0
        self.expired = False

    def pause(self) -> None:
        """The consumer is back, and waits before it reads. That counts, but only the read after it can expire."""
        self._paused_at = self._count_out_consumer()

    def enter(self) -> None:
        """A read begins."""
        if self._paused_at is None:
            self._count_out_consumer()
        elif self._paused_at < self._deadline:
            self._not_before = self._clock.time() + LOOK_SECONDS
        self._paused_at = None
        self._waiting = True
        if self._timer is None or self._armed_for > self._due:
            self._arm()

    def leave(self) -> None:
        """A read ended."""
        self._waiting = False
        self._left_at = self._clock.time()

    def allow(self, seconds: float) -> None:
        """Set the deadline anew, from the end of the last read (or from now)."""
        self._deadline = (self._clock.time() if self._left_at is None else self._left_at) + seconds

    def close(self) -> None:
        """Cancel the timer; it cannot expire any more."""
        self._waiting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _due(self) -> float:
        return max(self._deadline, self._not_before)

    def _count_out_consumer(self) -> float:
        now = self._clock.time()
        if self._left_at is not None:
            self._deadline += now - self._left_at
        return now

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = self._due
        self._timer = self._clock.call_at(self._armed_for, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if not self._waiting:
            return  # the next read arms it again
        if self._clock.time() < self._due:
            self._arm()
            return
        self.expired = True
        self._expire()
