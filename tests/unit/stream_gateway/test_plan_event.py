"""From what NATS carries, and from stored rows, to what viewers get."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from pydantic import TypeAdapter

from common import sse
from common.contracts.errors import ErrorCode
from common.contracts.events import Progress, StreamEvent
from common.contracts.internal import PlanView
from stream_gateway.cursor import Cursor
from stream_gateway.frame import as_sse
from stream_gateway.plan_event import event_of_view, read_event, snapshot_frame

PLAN_ID = UUID("6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac")
PROGRESS = Progress(
    phase="streaming", weeks_completed=1, weeks_total=4, percent=30, chars=9, tokens_per_second=1.5, elapsed_ms=7
)


def test_the_frame_is_cut_from_the_message_and_not_encoded_again() -> None:
    """Every byte after the `event` member is the message's own, in its own order and spelling."""
    rest = (
        b'"planId":"%b","attempt":2,"seq":7,"ops":[{"op":"append","path":"/","value":"\\u00e9\xc3\xa9"}],"progress":{}}'
    )
    rest = rest.replace(b"%b", str(PLAN_ID).encode())
    event = read_event(b'{"event":"progress",' + rest, str(PLAN_ID))
    assert event is not None
    assert event.frame().encoded(as_sse) == b"id: 2.7\nevent: progress\ndata: {" + rest + b"\n\n"


def test_a_message_of_another_spelling_is_encoded_again() -> None:
    """Spaces, line breaks or another order of members never break the framing."""
    message = {"planId": str(PLAN_ID), "seq": 1, "attempt": 1, "plan": None, "progress": {}, "event": "snapshot"}
    event = read_event(orjson.dumps(message, option=orjson.OPT_INDENT_2), str(PLAN_ID))
    assert event is not None
    [sent] = sse.Decoder().feed(event.frame().encoded(as_sse))
    assert (sent.event, sent.id) == ("snapshot", "1.1")
    assert orjson.loads(sent.data) == {key: value for key, value in message.items() if key != "event"}


def _view(**fields: Any) -> PlanView:
    values: dict[str, Any] = {
        "plan_id": PLAN_ID,
        "user_id": PLAN_ID,
        "status": "generating",
        "attempt": 3,
        "seq": 9,
        "progress": PROGRESS,
        "updated_at": datetime.now(UTC),
    }
    return PlanView(**(values | fields))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"plan": {"monthly_summary": "x"}}, "snapshot"),
        ({"plan": None}, "snapshot"),
        ({"status": "completed", "ended_as": "complete", "plan": {"a": 1}}, "complete"),
        ({"status": "partial", "ended_as": "cancelled", "plan": {"a": 1}}, "cancelled"),
        ({"status": "failed", "ended_as": "cancelled"}, "cancelled"),
        ({"status": "failed", "ended_as": "error", "code": ErrorCode.INVALID_PLAN}, "error"),
        ({"status": "failed", "ended_as": "error"}, "error"),
    ],
)
def test_a_row_is_the_event_it_stands_for(fields: dict[str, Any], name: str) -> None:
    """The event of a stored row is a valid event of the contract, with the row's place and document."""
    event = event_of_view(_view(**fields))
    assert event is not None
    [sent] = sse.Decoder().feed(event.frame().encoded(as_sse))
    assert (sent.event, sent.id) == (name, "3.9")
    data = orjson.loads(sent.data)
    assert "event" not in data
    model: Any = TypeAdapter(StreamEvent).validate_python(data | {"event": name})
    assert model.plan == fields.get("plan")
    if name == "error":
        assert (model.code, model.retryable) == (fields.get("code", ErrorCode.INTERNAL), True)


def test_an_unclaimed_plan_is_no_event() -> None:
    """A row that nobody has claimed is queued."""
    assert event_of_view(_view(attempt=0, seq=0)) is None


def test_an_erased_plan_ends_its_watchers() -> None:
    """A finished plan without its document was deleted by its user: there is nothing to wait for."""
    event = event_of_view(_view(status="completed", ended_as="complete"))
    assert event is not None
    assert (event.name, event.members["status"], event.members["plan"]) == ("cancelled", "failed", None)


def test_our_own_snapshot_is_of_the_contract() -> None:
    """What conflation sends is the same event that an owner would send."""
    progress = PROGRESS.model_dump(by_alias=True)
    [sent] = sse.Decoder().feed(snapshot_frame(PLAN_ID, Cursor(1, 4), {"a": "ü\n"}, progress).encoded(as_sse))
    data = orjson.loads(sent.data)
    model: Any = TypeAdapter(StreamEvent).validate_python(data | {"event": sent.event})
    assert (sent.id, model.plan, model.progress) == ("1.4", {"a": "ü\n"}, PROGRESS)
