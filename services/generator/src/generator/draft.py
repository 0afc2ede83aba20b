"""The document being written: kept parts, the parser, and the operations that viewers see. Pure.

A first call writes the whole document. A continuation writes only what is missing, so its operations are re-based:
week i of its answer becomes week len(kept) + i, its number follows the index, and a surplus is dropped.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from common.contracts.ops import Op
from common.contracts.plan import Week
from generator.plan_parser import ParseError, StreamingJSONParser
from generator.prompt import WritingTask

SUMMARY = "monthly_summary"
WEEKS = "weekly_breakdown"
_SUMMARY_PATH = f"/{SUMMARY}"
_WEEKS_PATH = f"/{WEEKS}"
_WEEK_PREFIX = f"/{WEEKS}/"
# The root and the list of weeks: whoever is no deeper is not within a week.
_BETWEEN_WEEKS = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """What a continuation builds on: a complete summary and the leading weeks that validate singly."""

    summary: str | None = None
    weeks: tuple[dict[str, Any], ...] = ()

    def document(self) -> dict[str, Any] | None:
        """The document that holds just this, or None when nothing is kept."""
        if self.summary is None and not self.weeks:
            return None
        head = {} if self.summary is None else {SUMMARY: self.summary}
        return head | {WEEKS: list(self.weeks)}

    def is_whole(self, total: int) -> bool:
        """Whether nothing of a plan of `total` weeks is missing."""
        return self.summary is not None and len(self.weeks) == total

    def task(self, total: int) -> WritingTask:
        """What is still to be written of a plan of `total` weeks."""
        missing = tuple(range(len(self.weeks) + 1, total + 1))
        return WritingTask(summary=self.summary is None, weeks=missing, kept=self.document())


def keep(document: Any, total: int, *, complete: bool) -> Kept:
    """The parts of a broken-off document that need not be written again.

    Args:
        document: the partial document, or None.
        total: how many weeks the plan has.
        complete: its last value is known to be whole. Else that is a summary, or a week, which may have been cut off
            and be valid all the same (a sentence without its end, a Sunday without its tasks): it is not kept.
    """
    if not isinstance(document, dict):
        return Kept()
    last = None if complete else _last(document)
    summary = document.get(SUMMARY)
    written = document.get(WEEKS)
    weeks = written if isinstance(written, list) else []
    valid: list[dict[str, Any]] = []
    for number, week in enumerate(weeks[:-1] if last == WEEKS else weeks, start=1):
        if number > total or not _is_week(week, number):
            break
        valid.append(week)
    return Kept(summary if isinstance(summary, str) and summary and last != SUMMARY else None, tuple(valid))


def _last(document: Any) -> str | None:
    """The member that a model is at: it writes one after the other."""
    return next(reversed(document), None) if isinstance(document, dict) else None


def _is_week(week: Any, number: int) -> bool:
    try:
        return Week.model_validate(week).week == number
    except ValidationError:
        return False


class Draft:
    """One upstream answer on top of what is kept. `value` is what a viewer holds who applied every operation."""

    def __init__(self, weeks: int, kept: Kept | None = None) -> None:
        self.weeks_total = weeks
        self._kept = kept or Kept()
        self._base = self._kept.document()
        self._parser = StreamingJSONParser(root="object", storable=True)
        self._from: str | None = None
        self._to: str | None = None

    @property
    def kept(self) -> Kept:
        """What this answer was built on."""
        return self._kept

    @property
    def complete(self) -> bool:
        """Whether the answer's JSON is whole."""
        return self._parser.complete

    def feed(self, text: str) -> list[Op]:
        """Parse the next piece and return the operations on the whole document.

        Raises:
            generator.plan_parser.ParseError: the text is not JSON, or passes a bound; it holds the operations so far.
        """
        try:
            ops = self._parser.add_chunk(text)
        except ParseError as error:
            error.ops = error.ops if self._base is None else self._rebase(error.ops)
            raise
        return ops if self._base is None else self._rebase(ops)

    @property
    def value(self) -> Any:
        """The whole document so far; do not change it. What is being written stands last, as `keep` takes it."""
        fresh = self._parser.value
        if self._base is None:
            return fresh
        written = fresh.get(WEEKS) if isinstance(fresh, dict) else None
        first = len(self._kept.weeks)
        weeks = [
            week | {"week": number} if isinstance(week, dict) and "week" in week else week
            for number, week in enumerate(written if isinstance(written, list) else [], start=first + 1)
        ]
        document = dict(self._base)
        document[WEEKS] = [*self._kept.weeks, *weeks[: self.weeks_total - first]]
        if self._kept.summary is None and isinstance(fresh, dict) and SUMMARY in fresh:
            document[SUMMARY] = fresh[SUMMARY]
            if _last(fresh) == WEEKS:
                document[WEEKS] = document.pop(WEEKS)
        return document

    def keep(self) -> Kept:
        """What need not be written again should the answer end here: never less than it was built on."""
        fresh, parser = self._parser.value, self._parser
        whole = parser.complete or (_last(fresh) == WEEKS and parser.depth <= _BETWEEN_WEEKS)
        kept = keep(self.value, self.weeks_total, complete=whole)
        return kept if len(kept.weeks) >= len(self._kept.weeks) else self._kept

    def _rebase(self, ops: list[Op]) -> list[Op]:
        rebased: list[Op] = []
        for op in ops:
            path = op["path"]
            if path is not self._from:
                # The parser hands out one string object per place, so most appends skip this.
                self._from, self._to = path, self._move(path)
            if self._to is None:
                continue
            if self._to is not path:
                op["path"] = self._to
                self._renumber(op)
            rebased.append(op)
        return rebased

    def _move(self, path: str) -> str | None:
        if path == _SUMMARY_PATH or path.startswith(_SUMMARY_PATH + "/"):
            return path if self._kept.summary is None else None
        if not path.startswith(_WEEK_PREFIX) or not isinstance(self._parser.value[WEEKS], list):
            return None
        index, slash, rest = path[len(_WEEK_PREFIX) :].partition("/")
        moved = len(self._kept.weeks) + int(index)
        return f"{_WEEK_PREFIX}{moved}{slash}{rest}" if moved < self.weeks_total else None

    def _renumber(self, op: Op) -> None:
        index, _, rest = op["path"][len(_WEEK_PREFIX) :].partition("/")
        if rest == "week" and op["op"] != "append":
            op["value"] = int(index) + 1
