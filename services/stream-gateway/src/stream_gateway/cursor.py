"""Where a viewer stands: `<attempt>.<seq>`, the `id:` of the stream protocol; in a batch, one for each plan. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple, Self

_ID = re.compile(r"(0|[1-9]\d{0,9})\.(0|[1-9]\d{0,9})", re.ASCII)


class Cursor(NamedTuple):
    """Ordered: every event of a higher attempt comes after all of a lower one."""

    attempt: int
    seq: int

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """A `Last-Event-ID`; None for none and for a malformed one, which both mean "send me a snapshot"."""
        found = _ID.fullmatch(text or "")
        return cls(int(found[1]), int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.attempt}.{self.seq}"


# Stands behind the cursors of a batch once `batch_complete` has been said.
_END = "end"


class Vector:
    """Where a viewer of a batch stands: a cursor for each plan in the batch's order, `1.5,2.0,-,1.7`.

    `-`: nothing of that plan yet. `batch_complete` itself has `,end` behind them; of a batch without plans, `end`.
    """

    __slots__ = ("cursors", "ended")

    def __init__(self, cursors: Iterable[Cursor | None], *, ended: bool = False) -> None:
        self.cursors = list(cursors)
        self.ended = ended

    @classmethod
    def parse(cls, text: str | None, plans: int) -> Self:
        """A `Last-Event-ID` of a batch of so many plans; of a malformed one nothing is believed."""
        parts = (text or "").split(",", plans + 1)
        ended = len(parts) == plans + 1 and parts[-1] == _END
        parts = parts[:plans] if ended else parts
        cursors = [Cursor.parse(part) for part in parts]
        malformed = any(cursor is None and part != "-" for cursor, part in zip(cursors, parts, strict=True))
        return cls([None] * plans) if malformed or len(parts) != plans else cls(cursors, ended=ended)

    def __str__(self) -> str:
        parts = ["-" if cursor is None else str(cursor) for cursor in self.cursors]
        return ",".join([*parts, _END] if self.ended else parts)
