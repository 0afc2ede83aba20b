"""How far a plan is, counted from the operations. Pure: time is given."""

from common.contracts.events import Phase
from common.contracts.ops import Op

_WEEK_PREFIX = "/weekly_breakdown/"
# A week's parts in the order in which they are written: number, focus, goals, then seven days.
_PARTS = {
    "week": 0.02,
    "focus": 0.05,
    "goals": 0.10,
    "monday": 0.20,
    "tuesday": 0.31,
    "wednesday": 0.42,
    "thursday": 0.53,
    "friday": 0.64,
    "saturday": 0.75,
    "sunday": 0.86,
}
# English JSON from the usual tokenizers; a figure for the eye, the bill comes from the provider.
CHARS_PER_TOKEN = 4


class Meter:
    """Counts weeks and characters; `percent` never falls, also across attempts.

    For that, events say no more than what is stored: the next attempt begins with what a row says was `reached`, so it
    cannot be below anything that a viewer has seen of an owner who died. And a row shows a viewer what events say, not
    what it makes good itself: events may follow it before the owner knows that it is stored.
    """

    def __init__(self, weeks_total: int, *, started_at: float, elapsed_ms: int = 0, percent: float = 0.0) -> None:
        self.weeks_total = weeks_total
        self.weeks_completed = 0
        self.chars = 0
        self.phase: Phase = "connecting"
        self.started_at = started_at
        self._elapsed_before = elapsed_ms
        self._first_at: float | None = None
        self._percent = percent
        self._stored = percent
        self._share = 0.0

    def count(self, ops: list[Op], chars: int, now: float) -> None:
        """Take the operations that `chars` characters of upstream text brought at `now` (monotonic seconds)."""
        if self._first_at is None:
            self._first_at = now
        self.chars += chars
        for op in ops:
            if op["op"] == "add" and op["path"].startswith(_WEEK_PREFIX):
                self._place(op["path"][len(_WEEK_PREFIX) :])

    def _place(self, place: str) -> None:
        index, _, rest = place.partition("/")
        if not index.isdecimal():
            return  # weeks under names: a document of another shape, which validation will refuse
        if not rest:
            self.weeks_completed = min(int(index), self.weeks_total)
            self._share = 0.0
            return
        part = rest.removeprefix("daily_tasks/")
        self._share = max(self._share, _PARTS.get(part, 0.0))

    def rewind(self, weeks_completed: int) -> None:
        """A continuation begins: this many weeks stand. `percent` stays where it was."""
        self.weeks_completed = weeks_completed
        self._share = 0.0

    def finish(self) -> None:
        """The document is whole."""
        self.weeks_completed = self.weeks_total
        self._share = 0.0

    def stored(self, progress: dict[str, object]) -> None:
        """A save of this progress has been committed."""
        reached = progress["reached"]
        assert isinstance(reached, float), "made by read()"
        self._stored = max(self._stored, reached)

    def read(
        self, now: float, *, stored: bool = False, ended: bool = False, complete: bool = False
    ) -> dict[str, object]:
        """`progress` as it goes over the wire (see `common.contracts.events.Progress`).

        Args:
            now: monotonic seconds.
            stored: for the row that is about to be stored, not for an event; it says what was `reached`, too.
            ended: the plan has ended, so there is no phase; what is said is stored.
            complete: it has ended well.
        """
        share = (self.weeks_completed + self._share) / self.weeks_total * 100
        self._percent = max(self._percent, min(share, 99.0))
        writing = now - self._first_at if self._first_at is not None else 0.0
        speed = self.chars / CHARS_PER_TOKEN / writing if writing > 0.2 else 0.0
        reached = round(self._percent, 1)
        progress: dict[str, object] = {
            "phase": None if ended else self.phase,
            "weeksCompleted": self.weeks_completed,
            "weeksTotal": self.weeks_total,
            # 100 is said by `complete` alone: not by a save while that is still being stored.
            "percent": 100.0 if complete else reached if ended else self._stored,
            "chars": self.chars,
            "tokensPerSecond": round(speed, 1),
            "elapsedMs": self._elapsed_before + int((now - self.started_at) * 1000),
        }
        return progress | {"reached": reached} if stored else progress
