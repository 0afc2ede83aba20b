"""Handlers around the document: what stands before it (a BOM, prose, a Markdown fence) and after a root scalar.

The plain rule: what begins with JSON is JSON, from its first character on. Otherwise the document begins

- directly after a fence (three backticks and a word), if JSON stands there, or
- at the first bracket in the prose that reads like one: `{"` and `{}`; `["`, `[{`, `[]`, `[1,`, `[true,`, and the
  like with several brackets. So `[the plan]`, `[1]`, `[ ]` and `{name}` are prose.

A root scalar is the document only if nothing but whitespace, or the end of the fence, follows it: otherwise it was
prose ("4 weeks: {...}"), and an object or array takes its place.
"""

import re
from typing import Final

from generator.plan_parser.lexing import WHITESPACE
from generator.plan_parser.machine import AFTER_SCALAR, DONE, START, Machine
from generator.plan_parser.structure import OPENERS, skip_whitespace

_BYTE_ORDER_MARK: Final = "\ufeff"

# Every repetition is bounded, so that looking ahead costs the same wherever it begins. An undecided pattern matches all
# that may still become what it is for: otherwise the outcome would depend on where the chunks are cut.
_SPACE: Final = r"[ \t\n\r]{0,32}"
_TOKEN: Final = r"(?:-?(?:0|[1-9][0-9]{0,32})(?:\.[0-9]{1,32})?(?:[eE][-+]?[0-9]{1,3})?|true|false|null)"
_OBJECT: Final = rf'\{{{_SPACE}["}}]'
_ARRAY: Final = "|".join(
    (
        rf'(?:\[{_SPACE}){{1,8}}["{{]',
        r"\[\]",
        rf"(?:\[{_SPACE}){{1,8}}{_TOKEN}{_SPACE},",
        rf"(?:\[{_SPACE}){{2,8}}(?:{_TOKEN}{_SPACE})?\]",
    )
)
_FENCE: Final = r"(?P<fence>`{3,8}[-+.\w]{0,32})(?![-+.\w`])(?=.)"
_UNDECIDED_OBJECT: Final = rf"\{{{_SPACE}"
_UNDECIDED_ARRAY: Final = rf"(?:\[{_SPACE}){{1,8}}[-+.\w]{{0,80}}{_SPACE}"
_UNDECIDED_FENCE: Final = r"`{1,8}[-+.\w]{0,32}"


def _landmark(*document: str, undecided: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = (f"(?P<document>{'|'.join(document)})", _FENCE, rf"(?P<undecided>(?:{'|'.join(undecided)})\Z)")
    return re.compile("|".join(alternatives), re.DOTALL)


_LANDMARKS: Final = {
    "any": _landmark(_OBJECT, _ARRAY, undecided=(_UNDECIDED_OBJECT, _UNDECIDED_ARRAY, _UNDECIDED_FENCE)),
    "object": _landmark(_OBJECT, undecided=(_UNDECIDED_OBJECT, _UNDECIDED_FENCE)),
}


def start(m: Machine, text: str, at: int) -> int:
    """Expect the document, or find that prose comes first."""
    char = text[at]
    if char in WHITESPACE:
        return skip_whitespace(text, at)
    if char == _BYTE_ORDER_MARK and m.offset + at == 0:
        return at + 1
    if char in OPENERS and (m.root == "any" or char == "{"):
        return OPENERS[char](m, text, at)
    m.read_as_prose(at, "it begins with other text")
    return at


def prose(m: Machine, text: str, at: int) -> int:
    """Look for the document in prose; what a chunk leaves undecided is held, and read again with the next one."""
    landmark = _LANDMARKS[m.root].search(text, at)
    if landmark is None:
        return len(text)
    at = landmark.start()
    if landmark["undecided"] is not None:
        m.held = text[at:]
        return len(text)
    if landmark["fence"] is not None:
        m.fenced = True
        m.state = START
        return landmark.end()
    return OPENERS[text[at]](m, text, at)


def after_scalar(m: Machine, text: str, at: int) -> int:
    """After a root scalar: whitespace or the closing fence, else it was prose."""
    char = text[at]
    if char in WHITESPACE:
        return skip_whitespace(text, at)
    if char == "`" and m.fenced:
        tell_pending(m)
        m.state = DONE
        return at
    m.pending = None
    m.read_as_prose(at, "text follows a scalar")
    return at


def tell_pending(m: Machine) -> None:
    """Tell the root number, now that nothing follows it."""
    if m.state == AFTER_SCALAR and m.pending is not None:
        m.add(m.pending)
        m.pending = None
