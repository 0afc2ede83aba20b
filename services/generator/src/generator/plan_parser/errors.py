"""The one error of the parser."""

from collections.abc import Sequence

from common.contracts.ops import Op


class ParseError(ValueError):
    """The text is not a JSON document, or not one within the bounds.

    `offset` counts characters from the start of the whole text: the first one that cannot stand where it stands, or
    the text's length when it is truncated. `ops` are the operations of the refused chunk up to there: with them, and
    those returned before, a fold equals the parser's `.value`.
    """

    def __init__(self, offset: int, reason: str, ops: Sequence[Op] = ()) -> None:
        super().__init__(f"{reason} at character {offset}")
        self.offset = offset
        self.reason = reason
        self.ops: list[Op] = list(ops)
