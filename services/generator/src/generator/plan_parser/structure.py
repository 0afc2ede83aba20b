"""Handlers between tokens: what opens a value, keys, commas, colons, and the ends of containers."""

from collections.abc import Callable
from typing import Final

from generator.plan_parser.lexing import LITERALS, WHITESPACE, search_non_whitespace
from generator.plan_parser.machine import (
    AFTER_ELEMENT,
    AFTER_MEMBER,
    FIRST_KEY,
    FIRST_VALUE,
    KEY,
    VALUE,
    Machine,
)
from generator.plan_parser.scalars import open_key, open_literal, open_number, open_string

Handler = Callable[[Machine, str, int], int]


def skip_whitespace(text: str, at: int) -> int:
    """The index of the first character that is not whitespace."""
    other = search_non_whitespace(text, at)
    return len(text) if other is None else other.start()


def open_object(m: Machine, _text: str, at: int) -> int:
    """Begin an object."""
    m.open_container({}, {}, at)
    m.after = AFTER_MEMBER
    m.state = FIRST_KEY
    return at + 1


def open_array(m: Machine, _text: str, at: int) -> int:
    """Begin an array."""
    m.open_container([], [], at)
    m.after = AFTER_ELEMENT
    m.state = FIRST_VALUE
    return at + 1


OPENERS: Final[dict[str, Handler]] = {
    "{": open_object,
    "[": open_array,
    '"': open_string,
    **dict.fromkeys("-0123456789", open_number),
    **dict.fromkeys(LITERALS, open_literal),
}


def value(m: Machine, text: str, at: int) -> int:
    """Expect a value."""
    char = text[at]
    opener = OPENERS.get(char)
    if opener is not None:
        return opener(m, text, at)
    if char not in WHITESPACE:
        m.fail(at, "expected a value")
    return skip_whitespace(text, at)


def first_value(m: Machine, text: str, at: int) -> int:
    """Expect a value or the array's end."""
    if text[at] == "]":
        m.close_container()
        return at + 1
    return value(m, text, at)


def key(m: Machine, text: str, at: int) -> int:
    """Expect a key."""
    char = text[at]
    if char == '"':
        return open_key(m, at)
    if char not in WHITESPACE:
        m.fail(at, "expected a key in double quotes")
    return skip_whitespace(text, at)


def first_key(m: Machine, text: str, at: int) -> int:
    """Expect a key or the object's end."""
    if text[at] == "}":
        m.close_container()
        return at + 1
    return key(m, text, at)


def colon(m: Machine, text: str, at: int) -> int:
    """Expect the colon after a key."""
    char = text[at]
    if char == ":":
        m.state = VALUE
        return skip_whitespace(text, at + 1)
    if char not in WHITESPACE:
        m.fail(at, "expected a colon")
    return skip_whitespace(text, at)


def after_member(m: Machine, text: str, at: int) -> int:
    """Expect a comma or the object's end."""
    char = text[at]
    if char == ",":
        m.state = KEY
        return skip_whitespace(text, at + 1)
    if char == "}":
        m.close_container()
    elif char in WHITESPACE:
        return skip_whitespace(text, at)
    else:
        m.fail(at, "expected a comma or }")
    return at + 1


def after_element(m: Machine, text: str, at: int) -> int:
    """Expect a comma or the array's end."""
    char = text[at]
    if char == ",":
        m.state = VALUE
        return skip_whitespace(text, at + 1)
    if char == "]":
        m.close_container()
    elif char in WHITESPACE:
        return skip_whitespace(text, at)
    else:
        m.fail(at, "expected a comma or ]")
    return at + 1
