"""A deadline on waiting for the network that costs two clock readings per read."""

from collections.abc import Callable
from typing import Protocol


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

    Only time spent inside a read counts, so a consumer that is slow itself never lets a healthy stream expire. The
    timer is armed once and re-armed when it fires early, instead of being moved at each read.
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
        self.expired = False

    def enter(self) -> None:
        """A read begins."""
        if self._left_at is not None:
            self._deadline += self._clock.time() - self._left_at
        self._waiting = True
        if self._timer is None or self._armed_for > self._deadline:
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

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = self._deadline
        self._timer = self._clock.call_at(self._deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if not self._waiting:
            return  # the next read arms it again
        if self._clock.time() < self._deadline:
            self._arm()
            return
        self.expired = True
        self._expire()
