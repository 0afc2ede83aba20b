"""The client's pure parts: the decoder, the fold, what is folded, and how long it waits."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.fold import FoldError, apply
from planstream_client.command.check import flowing, valid
from planstream_client.errors import RefusedError, UnreachableError
from planstream_client.events import Event
from planstream_client.fold import fold
from planstream_client.sse import Decoder, Frame
from planstream_client.state import LONGEST_PAUSE, Patience, PlanState

STREAMS = {
    b"event: a\ndata: 1\nid: x\n\n": ([Frame("a", "1", "x")], None),
    b"\xef\xbb\xbfdata:1\r\ndata: 2\r\n\r\n": ([Frame("message", "1\n2", "")], None),
    b": beat\r\rretry: 250\rid: a\0b\rdata\r\r\n": ([Frame("message", "", "")], 0.25),
    b"event: lost\n\nretry: soon\n\ndata: half": ([], None),
    "data: \N{SNOWMAN} ü\n\n".encode(): ([Frame("message", "\N{SNOWMAN} ü", "")], None),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_in_any_pieces(stream: bytes) -> None:
    """As WHATWG HTML says, wherever the bytes are cut, also within a character."""
    frames, retry = STREAMS[stream]
    for at in range(len(stream) + 1):
        decoder = Decoder()
        assert [*decoder.feed(stream[:at]), *decoder.feed(stream[at:])] == frames
        assert decoder.retry == retry


_VALUES = st.recursive(
    st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
_PATHS = st.sampled_from(["", "/a", "/a/0", "/a/-", "/b", "/b/~0c", "/a~1b", "/a/9", "/a/x"])
_OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "replace", "append"]),
            "path": _PATHS,
            "value": _VALUES | st.just([]) | st.just({}),
        }
    ),
    max_size=8,
)


@given(_OPERATIONS)
def test_it_folds_as_the_servers_do(operations: list[Any]) -> None:
    """The same document, or both refuse."""
    start, given_operations = json.dumps({"a": ["x"], "b": {"~c": "y"}}), json.dumps(operations)
    # Folding puts values into the document and changes them there: each side has its own.
    ours, theirs = json.loads(given_operations), json.loads(given_operations)
    try:
        expected = apply(json.loads(start), theirs)
    except FoldError:
        with pytest.raises(ValueError, match="does not fit"):
            fold(json.loads(start), ours)
    else:
        assert fold(json.loads(start), ours) == expected


PROGRESS = {
    "phase": "streaming",
    "weeksCompleted": 0,
    "weeksTotal": 4,
    "chars": 1,
    "tokensPerSecond": 0,
    "elapsedMs": 5,
}


def _frame(name: str, number: int, **data: Any) -> Frame:
    return Frame(name, json.dumps({"planId": "p", "attempt": 1, "seq": number} | data), f"1.{number}")


def test_a_plan_is_folded_from_its_events() -> None:
    """connected, snapshot, progress, an event of a later version, and the end, which holds the stored document."""
    state = PlanState()
    state.take(Frame("connected", '{"planId": "p", "status": "generating", "phase": "queued"}', ""))
    assert (state.plan_id, state.phase, state.last_id) == ("p", "queued", None)
    state.take(_frame("snapshot", 0, plan={"monthly_summary": "A"}, progress=PROGRESS | {"percent": 1}))
    state.take(
        _frame(
            "progress",
            1,
            ops=[{"op": "append", "path": "/monthly_summary", "value": "b"}],
            progress=PROGRESS | {"percent": 2},
        )
    )
    assert (state.plan, state.percent, state.last_id) == ({"monthly_summary": "Ab"}, 2, "1.1")
    assert state.take(_frame("applause", 2)) is None
    end = state.take(_frame("error", 2, status="failed", code="invalid_plan", message="No.", retryable=False, plan={}))
    assert end is not None
    assert end.terminal
    assert (state.ended, state.status, state.plan) == (True, "failed", {})
    assert state.error == {"code": "invalid_plan", "message": "No.", "retryable": False}


def test_it_waits_longer_each_time_and_then_gives_up() -> None:
    """Half to all of a pause that doubles, never less than was asked for; anew after every event."""
    patience = Patience(7)
    pauses = [patience.pause(None, 0, 1.0) for _ in range(7)]
    assert pauses == [0.5, 1, 2, 4, 8, LONGEST_PAUSE, LONGEST_PAUSE]
    with pytest.raises(UnreachableError, match="7 tries"):
        patience.pause(OSError("gone"), 0, 1.0)
    patience.progressed()
    assert patience.pause(None, 0, 0.0) == 0.25
    assert patience.pause(None, 3, 0.0) == 3
    assert patience.pause(RefusedError("unavailable", 503, "", 9), 0, 0.0) == 9
    with pytest.raises(RefusedError):
        patience.pause(RefusedError("not_found", 404, ""), 0, 0.0)


def test_what_check_makes_of_a_stream() -> None:
    """What was held back, cut, begun otherwise or repeated is said; what flows is well."""
    assert flowing([(0, 0), (2, 2.1)], 0).ok
    assert not flowing([(0, 0), (0.1, 2.1)], 0).ok
    assert not flowing([(0, 0), (2, 2.1)], 3).ok
    connected = Event("connected", None, {"planId": "p"})
    first, second = (Event("progress", f"1.{n}", {"attempt": 1, "seq": n}) for n in (1, 2))
    assert valid([connected, first, second]).ok
    assert not valid([first, second]).ok
    assert not valid([connected, second, first]).ok
    assert not valid([connected, first, first]).ok
