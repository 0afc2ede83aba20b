"""The grace period of a plan that ends with its viewers (design, section 6, rule 10). Pure: time is given."""

POLL_SECONDS = 10.0
# Who has gone before the plan was claimed said so to nobody. The gateway of a start needs a moment to be there, too.
FIRST_POLL_SECONDS = 2.0
SILENCES = 3


class Grace:
    """Counts how long nobody has watched. The clock starts when a first viewer has left.

    Args:
        seconds: the grace period; negative: never, or the plan is to be written on without viewers.
        now: monotonic seconds.
        had_viewers: it was started by one, or some have been seen by an earlier attempt.
    """

    def __init__(self, seconds: float, now: float, *, had_viewers: bool = False) -> None:
        self._seconds = seconds
        self._next_poll = now + (FIRST_POLL_SECONDS if had_viewers else POLL_SECONDS)
        self._absent_since: float | None = None
        self._silences = 0
        self._had_viewers = had_viewers

    @property
    def _off(self) -> bool:
        return self._seconds < 0

    def left(self, now: float) -> None:
        """A gateway says that its last viewer has gone, so somebody was there until now: ask the others at once."""
        self._had_viewers = True
        self._absent_since = None
        self._silences = 0
        if not self._off:
            self._next_poll = now

    def due(self, now: float) -> bool:
        """Whether the gateways are to be asked now."""
        return not self._off and now >= self._next_poll

    def somebody(self, now: float) -> None:
        """A gateway has viewers."""
        self._had_viewers = True
        self._absent_since = None
        self._silences = 0
        self._next_poll = now + POLL_SECONDS

    def nobody(self, now: float) -> None:
        """No gateway has a viewer: that counts once there has been one."""
        self._silences = 0
        if not self._had_viewers:
            self._next_poll = now + POLL_SECONDS
            return
        if self._absent_since is None:
            self._absent_since = now
        # Ask again just before acting on it, and in between as always.
        self._next_poll = min(now + POLL_SECONDS, max(self._absent_since + self._seconds, now))

    def silence(self, now: float) -> None:
        """Nobody answered in time: three times in a row counts as absent."""
        self._silences += 1
        if self._silences >= SILENCES:
            self.nobody(now)
        else:
            self._next_poll = now

    def watched(self, ago: float, now: float) -> None:
        """A gateway said over HTTP, so many seconds ago, that it has viewers."""
        if self._absent_since is not None and now - ago > self._absent_since:
            self.somebody(now)

    def restart(self, now: float) -> None:
        """Nobody could be heard for a while: the clock starts again, and the silences of that while do not count."""
        self._silences = 0
        if self._absent_since is not None:
            self._absent_since = now

    def expired(self, now: float) -> bool:
        """Whether nobody has watched for the whole grace period; not while an answer is waited for."""
        if self._off or self._silences or self._absent_since is None:
            return False
        return now - self._absent_since >= self._seconds
