"""How one plan's events are joined into one line by (attempt, seq), whatever way they came. Pure and total.

Events come from a subscription, from the owner's replies and from stored rows, late, twice or not at all. A decision
says what the next one means for the state held so far.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from stream_gateway.cursor import Cursor

Kind = Literal["snapshot", "progress", "terminal"]


@dataclass(frozen=True, slots=True)
class Fresh:
    """Nothing is known yet."""


@dataclass(frozen=True, slots=True)
class Live:
    """The document after event `at` is held."""

    at: Cursor


@dataclass(frozen=True, slots=True)
class Torn:
    """Events up to `at` were seen, but the document is not to be trusted: only a snapshot from there on mends it."""

    at: Cursor


@dataclass(frozen=True, slots=True)
class Ended:
    """The terminal event `at` is held."""

    at: Cursor


Position = Fresh | Live | Torn | Ended


# `apply`: fold its operations into the document. `replace`: take the snapshot's document for the state. `end`: the plan
# has ended. `drop`: it is known already, or of an attempt that is over. `ask`: something is missing before it; ask for
# a snapshot, and hold the event until that is there.
Decision = Literal["apply", "replace", "end", "drop", "ask"]


def splice(position: Position, kind: Kind, at: Cursor) -> Decision:
    """What an event of this kind, at this place, means where we stand."""
    match position:
        case Live(reached):
            return _after(reached, kind, at)
        case Fresh():
            return _first(kind)
        case Torn(reached):
            return _mending(reached, kind, at)
        case Ended():
            return "drop"
        case _:
            assert_never(position)


def _first(kind: Kind) -> Decision:
    match kind:
        case "snapshot":
            return "replace"
        case "terminal":
            return "end"
        case "progress":
            return "ask"
        case _:
            assert_never(kind)


def _after(reached: Cursor, kind: Kind, at: Cursor) -> Decision:
    if at.attempt < reached.attempt:
        return "drop"
    match kind:
        case "progress":
            if at <= reached:
                return "drop"
            return "apply" if at == (reached.attempt, reached.seq + 1) else "ask"
        case "snapshot":
            # At the same place every source holds the same document (owner, wire, row), and a viewer has it already.
            return "replace" if at > reached else "drop"
        case "terminal":
            # Stored, so it is true, also when the numbers before it were counted off the wire.
            return "end"
        case _:
            assert_never(kind)


def _mending(reached: Cursor, kind: Kind, at: Cursor) -> Decision:
    if at.attempt < reached.attempt:
        return "drop"
    match kind:
        case "terminal":
            return "end"
        case "snapshot":
            return "replace" if at >= reached else "drop"
        case "progress":
            return "ask" if at > reached else "drop"
        case _:
            assert_never(kind)


Resumption = Literal["wait", "ahead", "continue", "snapshot", "terminal", "nothing"]


def resume(position: Position, cursor: Cursor | None) -> Resumption:
    """What a viewer who has seen everything up to `cursor` is owed first.

    `nothing`: it holds the terminal event already. `wait`: we cannot say before a snapshot has come. `ahead`: it says
    that it has seen more than we have, which may be true when another gateway heard of the plan and we did not.
    """
    match position:
        case Fresh() | Torn():
            return "wait"
        case Live(at):
            if cursor is None or cursor < at:
                return "snapshot"
            return "continue" if cursor == at else "ahead"
        case Ended(at):
            return "nothing" if cursor == at else "terminal"
        case _:
            assert_never(position)
