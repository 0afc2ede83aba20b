"""Where a viewer or a plan stands: `<attempt>.<seq>`, the `id:` of the stream protocol. Pure."""

import re
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
