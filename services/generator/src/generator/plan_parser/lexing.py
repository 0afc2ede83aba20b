"""The lexical grammar of JSON (RFC 8259) as compiled patterns, and the decoding of escapes. No state."""

import re
from typing import Final

WHITESPACE: Final = " \t\n\r"
SIMPLE_ESCAPES: Final = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"
}  # fmt: skip
LITERALS: Final[dict[str, tuple[str, bool | None]]] = {
    "t": ("true", True), "f": ("false", False), "n": ("null", None)
}  # fmt: skip
LONGEST_ESCAPE: Final = len(r"\ud83d\ude00")

search_non_whitespace = re.compile(r"[^ \t\n\r]").search
search_end_of_string_run = re.compile(r'["\\\x00-\x1f]').search
search_end_of_number_run = re.compile(r"[^-+.0-9eE]").search

_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
# The longest start of the token that could still become a number; it always matches, if only the empty string.
_NUMBER_PREFIX = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.(?:[0-9]+)?)?(?:(?<=[0-9])[eE][-+]?[0-9]*)?)?")
_HEX = re.compile(r"[0-9a-fA-F]{0,4}")
_HIGH_SURROGATE = re.compile(r"\\u[dD][89abAB]")
_LOW_SURROGATE = re.compile(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
# What may still turn out to be a low surrogate's escape once more text has come.
_LOW_SURROGATE_PREFIX = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?\Z")


class LexicalError(ValueError):
    """A token cannot go on as it does; `at` is the index in the token, `reason` says why."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason


def decode_escape(sequence: str) -> tuple[str, int] | None:
    """The text and the length of the escape that opens `sequence`; None while it is not yet known.

    Surrogates go the way of `json.loads`: a pair becomes one character, a lone one stays as it is.

    Raises:
        LexicalError: no escape goes on like this.
    """
    if len(sequence) < 2:
        return None
    if sequence[1] != "u":
        if sequence[1] not in SIMPLE_ESCAPES:
            raise LexicalError(1, "invalid escape")
        return SIMPLE_ESCAPES[sequence[1]], 2
    digits = _HEX.match(sequence, 2)
    assert digits is not None, "the pattern matches the empty string"
    if digits.end() < 6:
        if digits.end() < len(sequence):
            raise LexicalError(digits.end(), "invalid \\u escape")
        return None
    return _decode_unicode_escape(sequence)


def _decode_unicode_escape(sequence: str) -> tuple[str, int] | None:
    code = int(sequence[2:6], 16)
    if _HIGH_SURROGATE.match(sequence):
        if _LOW_SURROGATE.match(sequence, 6):
            low = int(sequence[8:12], 16)
            return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), LONGEST_ESCAPE
        if _LOW_SURROGATE_PREFIX.match(sequence, 6):
            return None
    return chr(code), 6


def decode_number(token: str) -> int | float:
    """The number that `token` spells, as `json.loads` has it.

    Raises:
        LexicalError: `token` is no JSON number, or an integer of more digits than Python converts.
    """
    match = _NUMBER.fullmatch(token)
    if match is None:
        prefix = _NUMBER_PREFIX.match(token)
        assert prefix is not None, "the pattern matches the empty string"
        raise LexicalError(prefix.end(), "invalid number")
    _, fraction, exponent = match.groups()
    if fraction or exponent:
        return float(token)
    try:
        return int(token)
    except ValueError as error:
        raise LexicalError(0, "integer has too many digits") from error
