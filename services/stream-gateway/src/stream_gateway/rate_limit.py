"""How often a user may ask. Pure: the clock is a parameter."""

from collections import OrderedDict
from typing import Final
from uuid import UUID

WINDOW_SECONDS: Final = 60.0
# About 200 bytes each. Who has not asked for a minute is forgotten; beyond this many, so is who has asked least lately.
REMEMBERED: Final = 100_000


class RateLimit:
    """A token bucket a user (as GCRA, one number each): a minute's requests at once, and then at that pace."""

    def __init__(self, per_minute: int) -> None:
        """0: no limit."""
        self.per_minute = per_minute
        self._interval = WINDOW_SECONDS / per_minute if per_minute else 0.0
        # When the bucket will be full again, by user; the order is that of the last request.
        self._full_at: OrderedDict[UUID, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, user_id: UUID, now: float) -> float:
        """Count a request at `now` (seconds, monotonic); 0: it may pass, else it is refused for so many seconds.

        A refused request counts nothing, so whoever waits as told is let in.
        """
        if not self.per_minute:
            return 0.0
        full_at = max(self._full_at.get(user_id, now), now) + self._interval
        if (wait := full_at - now - WINDOW_SECONDS) > self._interval / 1000:
            return wait
        self._full_at[user_id] = full_at
        self._full_at.move_to_end(user_id)
        self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        # Two at most for the one that came, so that the work is bounded and the number still falls.
        for _ in range(2):
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= REMEMBERED:
                return
            del self._full_at[oldest]
