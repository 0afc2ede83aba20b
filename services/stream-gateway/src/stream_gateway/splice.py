"""How one plan's events are joined into one line by (attempt, seq), whatever way they came. Pure and total.

Events come from a subscription, from the owner's replies and from stored rows, late, twice or not at all. A decision
says what the next one means for the state held so far.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from stream_gateway.cursor import Cursor

Kind = Literal["snapshot", "progress", "terminal"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event, as far as its place in the line is concerned."""

    kind: Kind
    at: Cursor


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


@dataclass(frozen=True, slots=True)
class Replace:
    """Take the snapshot's document for the state."""

    to: Live


@dataclass(frozen=True, slots=True)
class Apply:
    """Fold the operations into the document."""

    to: Live


@dataclass(frozen=True, slots=True)
class End:
    """The plan has ended."""

    to: Ended


@dataclass(frozen=True, slots=True)
class Drop:
    """Known already, or of an attempt that is over."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Something is missing before this event: ask for a snapshot, and hold the event until it is there."""


Decision = Replace | Apply | End | Drop | Ask


def splice(position: Position, arrival: Arrival) -> Decision:
    """What an event means where we stand."""
    match position:
        case Fresh():
            return _first(arrival)
        case Live(at):
            return _after(at, arrival)
        case Torn(at):
            return _mending(at, arrival)
        case Ended():
            return Drop()
        case _:
            assert_never(position)


def _first(arrival: Arrival) -> Decision:
    match arrival.kind:
        case "snapshot":
            return Replace(Live(arrival.at))
        case "terminal":
            return End(Ended(arrival.at))
        case "progress":
            return Ask()
        case _:
            assert_never(arrival.kind)


def _after(at: Cursor, arrival: Arrival) -> Decision:
    if arrival.at.attempt < at.attempt:
        return Drop()
    match arrival.kind:
        case "terminal":
            # Stored, so it is true, also when the numbers before it were counted off the wire.
            return End(Ended(arrival.at))
        case "snapshot":
            # At the same place every source holds the same document (owner, wire, row), and a viewer has it already.
            return Replace(Live(arrival.at)) if arrival.at > at else Drop()
        case "progress":
            if arrival.at <= at:
                return Drop()
            return Apply(Live(arrival.at)) if arrival.at == (at.attempt, at.seq + 1) else Ask()
        case _:
            assert_never(arrival.kind)


def _mending(at: Cursor, arrival: Arrival) -> Decision:
    if arrival.at.attempt < at.attempt:
        return Drop()
    match arrival.kind:
        case "terminal":
            return End(Ended(arrival.at))
        case "snapshot":
            return Replace(Live(arrival.at)) if arrival.at >= at else Drop()
        case "progress":
            return Ask() if arrival.at > at else Drop()
        case _:
            assert_never(arrival.kind)


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
