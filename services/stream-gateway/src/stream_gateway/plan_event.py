"""One event of a plan as it travels: read from NATS or from a stored row, passed on as a frame. Pure.

What NATS carries is one JSON object whose first member is `event`; the rest is the data that viewers get, so a frame is
made by cutting, not by encoding again.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeGuard
from uuid import UUID

import orjson

from common import payloads
from common.contracts.events import TERMINAL_EVENTS, TERMINAL_STATUSES
from common.contracts.internal import PlanView
from stream_gateway.cursor import Cursor
from stream_gateway.frame import Frame
from stream_gateway.splice import Kind

_MOST: Final = 2**53


class MalformedEventError(ValueError):
    """Not what a generator may publish."""


@dataclass(frozen=True, slots=True)
class PlanEvent:
    """A checked event: its name, kind and place, its members, and the bytes it came as."""

    name: str
    kind: Kind
    at: Cursor
    members: dict[str, Any]
    raw: bytes

    def frame(self, patch: tuple[bytes, ...] | None = None) -> Frame:
        """What every viewer gets."""
        try:
            data = _data(self.raw, self.name)
        except ValueError:
            # Valid all the same: its members in another order, or on several lines.
            data = orjson.dumps({key: value for key, value in self.members.items() if key != "event"})
        return Frame(self.name, data, self.at, patch)


@cache
def _prefix(name: str) -> bytes:
    return b'{"event":"%b",' % name.encode()


def _data(raw: bytes, name: str) -> bytes:
    """What viewers are told: the payload without its first member."""
    prefix = _prefix(name)
    if not raw.startswith(prefix) or b"\n" in raw or b"\r" in raw:
        raise ValueError("not in the form that a generator writes")
    return b"{" + raw[len(prefix) :]


def read_event(raw: bytes, plan_id: str) -> PlanEvent | None:
    """Check what came over NATS; None for a kind of event that we do not know.

    Raises:
        MalformedEventError: a known event that is not as the contract says, or is another plan's.
    """
    try:
        members = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedEventError("not JSON") from error
    if not isinstance(members, dict):
        raise MalformedEventError("not an object")
    name = members.get("event")
    kind = _kind(name, members)
    if kind is None:
        return None
    attempt, seq = members.get("attempt"), members.get("seq")
    if not (_is_count(attempt) and _is_count(seq)):
        raise MalformedEventError("attempt and seq must be counts")
    if members.get("planId") != plan_id:
        raise MalformedEventError("another plan's")
    return PlanEvent(str(name), kind, Cursor(attempt, seq), members, raw)


def _kind(name: Any, members: dict[str, Any]) -> Kind | None:
    match name:
        case "progress":
            if not isinstance(members.get("ops"), list) or not isinstance(members.get("progress"), dict):
                raise MalformedEventError("progress without ops or progress")
            return "progress"
        case "snapshot":
            if "plan" not in members or not isinstance(members.get("progress"), dict):
                raise MalformedEventError("snapshot without plan or progress")
            return "snapshot"
        case str() if name in TERMINAL_EVENTS:
            if members.get("status") not in TERMINAL_STATUSES:
                raise MalformedEventError("an end without a final status")
            return "terminal"
        case str():
            return None
        case _:
            raise MalformedEventError("no event name")


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _MOST


def event_of_view(view: PlanView) -> PlanEvent | None:
    """A stored row as the event it stands for; None when it stands for none (see `payloads.of_view`)."""
    raw = payloads.of_view(view)
    return None if raw is None else read_event(raw, str(view.plan_id))


def snapshot_frame(plan_id: UUID, at: Cursor, document: Any, progress: dict[str, Any]) -> Frame:
    """The state after event `at`."""
    raw = payloads.snapshot(str(plan_id), at.attempt, at.seq, document, progress)
    return Frame("snapshot", _data(raw, "snapshot"), at)
