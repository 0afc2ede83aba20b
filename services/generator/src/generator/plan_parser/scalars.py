"""Handlers within a token: strings, keys and their escapes, numbers, literals.

A handler takes the machine, the chunk and an index below the chunk's length; it returns the index to go on from.
"""

from typing import Final

from generator.plan_parser.lexing import (
    LITERALS,
    LONGEST_ESCAPE,
    LexicalError,
    decode_escape,
    decode_number,
    search_end_of_number_run,
    search_end_of_string_run,
)
from generator.plan_parser.machine import COLON, ESCAPE, IN_KEY, IN_STRING, LITERAL, NUMBER, Machine

REPLACEMENT: Final = "\ufffd"
MOST: Final = 2**63 - 1


def in_string(m: Machine, text: str, at: int) -> int:
    """Take a run of a string or key, up to its quote or an escape."""
    special = search_end_of_string_run(text, at)
    if special is None:
        m.fresh.append(text[at:])
        return len(text)
    end = special.start()
    if end > at:
        m.fresh.append(text[at:end])
    if text[end] == '"':
        if m.state == IN_STRING:
            m.close_string()
        else:
            _close_key(m)
    elif text[end] == "\\":
        m.body = m.state
        m.state = ESCAPE
        return end
    else:
        m.fail(end, "control character in a string")
    return end + 1


def _close_key(m: Machine) -> None:
    m.key = "".join(m.fresh)
    m.fresh = []
    m.state = COLON


def _is_storable(character: str) -> bool:
    return character != "\0" and not "\ud800" <= character <= "\udfff"


def escape(m: Machine, text: str, at: int) -> int:
    """Take an escape, a surrogate pair as one; what a chunk leaves unfinished is held for the next."""
    sequence = m.held + text[at : at + LONGEST_ESCAPE]
    try:
        decoded = decode_escape(sequence)
    except LexicalError as error:
        m.fail(at - len(m.held) + error.at, error.reason)
    if decoded is None:
        m.held = sequence
        return len(text)
    character, length = decoded
    m.fresh.append(REPLACEMENT if m.storable and not _is_storable(character) else character)
    if length < len(m.held):  # a lone high surrogate, and the escape after it began in an earlier chunk
        m.held = m.held[length:]
        return at
    at += length - len(m.held)
    m.held = ""
    m.state = m.body
    return at


def open_number(m: Machine, _text: str, at: int) -> int:
    """Begin a number."""
    m.start = m.offset + at
    m.state = NUMBER
    return at


def number(m: Machine, text: str, at: int) -> int:
    """Take a run of a number; it is complete at the first other character."""
    other = search_end_of_number_run(text, at)
    if other is None:
        m.fresh.append(text[at:])
        return len(text)
    m.fresh.append(text[at : other.start()])
    close_number(m)
    return other.start()


def close_number(m: Machine) -> None:
    """End a number. At the root it waits: it is the document only if nothing follows, else prose ("4 weeks ...")."""
    token = "".join(m.fresh)
    m.fresh = []
    try:
        value = decode_number(token)
    except LexicalError as error:
        if not m.stack:
            m.read_as_prose(m.start + error.at - m.offset, error.reason)
            return
        m.refuse(m.start + error.at, error.reason)
    if m.storable and not -MOST <= value <= MOST:
        m.refuse(m.start, "number out of range")
    if m.stack:
        m.add(value)
    else:
        m.pending = value
    m.state = m.after


def open_literal(m: Machine, text: str, at: int) -> int:
    """Begin true, false or null."""
    m.literal, m.literal_value = LITERALS[text[at]]
    m.state = LITERAL
    return at


def literal(m: Machine, text: str, at: int) -> int:
    """Take what the chunk has of a literal. At the root a word that goes on differently is prose ("nice ...")."""
    piece = text[at : at + len(m.literal)]
    if m.literal.startswith(piece):
        m.literal = m.literal[len(piece) :]
        if not m.literal:
            m.add(m.literal_value)
            m.state = m.after
        return at + len(piece)
    while text[at] == m.literal[0]:
        m.literal = m.literal[1:]
        at += 1
    if m.stack:
        m.fail(at, "invalid literal")
    m.read_as_prose(at, "invalid literal")
    return at


def open_string(m: Machine, _text: str, at: int) -> int:
    """Begin a string value; its `add` comes with what the chunk has of it."""
    m.string_open = m.opening = True
    m.state = IN_STRING
    return at + 1


def open_key(m: Machine, at: int) -> int:
    """Begin an object's key."""
    m.state = IN_KEY
    return at + 1
