"""One frame in every format, and the laws that the dialects keep."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import fold, sse
from common.contracts.events import Connected
from common.contracts.ops import Op, escape, unescape
from common.problems import ApiError
from stream_gateway.channel import Channel
from stream_gateway.cursor import Cursor
from stream_gateway.formats import FORMATS, PLAIN, format_of
from stream_gateway.frame import Frame, as_sse, as_text
from stream_gateway.viewer import BufferLimits, Mode, Viewer

PLAN_ID = UUID("6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac")
PROGRESS = {"phase": "streaming", "percent": 1.0}
AI_SDK, AG_UI = FORMATS["ai-sdk"].encode, FORMATS["ag-ui"].encode
# More than any example has.
ROOMY = BufferLimits(frames=1000, size=10_000_000)


def _event(name: str, seq: int, **members: Any) -> bytes:
    return orjson.dumps({"event": name, "planId": str(PLAN_ID), "attempt": 1, "seq": seq} | members)


def _channel() -> Channel:
    channel = Channel(PLAN_ID, lambda _: None, lambda: 0.0)
    channel.receive(_event("snapshot", 0, plan=None, progress=PROGRESS))
    return channel


def _join(channel: Channel, mode: Mode = "deltas") -> Viewer:
    viewer = Viewer(channel, mode=mode, limits=ROOMY)
    channel.add(viewer)
    return viewer


def _parts(taken: list[Frame], encode: Callable[[Frame], bytes]) -> list[tuple[str, Any]]:
    """The id that is in force after each part, and the part."""
    events = sse.Decoder().feed(b"".join(frame.encoded(encode) for frame in taken))
    assert {event.event for event in events} <= {"message"}
    return [(event.id, event.data if event.data == "[DONE]" else orjson.loads(event.data)) for event in events]


def test_a_frame_is_encoded_once_in_each_format() -> None:
    """Whoever asks again is handed the same object."""
    frame = Frame("snapshot", b'{"planId":"x","plan":null}', Cursor(1, 2))
    for encode in (as_sse, AI_SDK, AG_UI):
        assert frame.encoded(encode) is frame.encoded(encode)
    assert frame.encoded(as_text) is frame.encoded(as_text)


def test_a_message_has_event_and_id_first() -> None:
    """As text for a WebSocket; connected has no id."""
    frame = Frame("progress", b'{"planId":"x","seq":2}', Cursor(1, 2))
    assert frame.encoded(as_text) == '{"event":"progress","id":"1.2","planId":"x","seq":2}'
    assert Frame("connected", b'{"planId":"x"}').encoded(as_text) == '{"event":"connected","planId":"x"}'


def test_what_a_request_asks_for() -> None:
    """No format: ours; whole documents where they are asked for, or where the dialect has nothing else."""
    assert format_of({}) == format_of({"format": ""}) == PLAIN
    assert format_of({"mode": "snapshot"}).mode == "snapshots"
    assert (format_of({"format": "ai-sdk"}).mode, format_of({"format": "ag-ui"}).mode) == ("snapshots", "patches")
    assert format_of({"format": "ag-ui", "mode": "snapshot"}).mode == "snapshots"
    assert format_of({"format": "ai-sdk"}).headers["x-vercel-ai-ui-message-stream"] == "v1"
    with pytest.raises(ApiError) as refused:
        format_of({"format": "AI-SDK"})
    assert "ai-sdk, ag-ui" in refused.value.detail


ENDS: dict[str, dict[str, Any]] = {
    "complete": {"status": "completed", "plan": {"a": 1}, "usage": {"cost": 0.1}, "progress": PROGRESS},
    "cancelled": {"status": "partial", "plan": {"a": 1}},
    "error": {"status": "failed", "code": "invalid_plan", "message": "No.", "retryable": True, "plan": None},
}


@pytest.mark.parametrize(
    ("name", "ai_sdk", "ag_ui"),
    [
        ("complete", {"type": "finish", "finishReason": "stop"}, "RUN_FINISHED"),
        ("cancelled", {"type": "abort", "reason": "cancelled"}, "RUN_FINISHED"),
        ("error", {"type": "error", "errorText": "No."}, "RUN_ERROR"),
    ],
)
def test_every_end_in_every_dialect(name: str, ai_sdk: dict[str, Any], ag_ui: str) -> None:
    """The document first, then the end; the id comes with the last part, so a cut in between repeats them all."""
    channel = _channel()
    viewer = _join(channel)
    channel.receive(_event(name, 1, **ENDS[name]))
    frames = [frame for frame in viewer.take() if frame.name == name]
    (none, document), (unsaid, end), (last_id, done) = _parts(frames, AI_SDK)
    assert (none, unsaid, last_id, done) == ("", "", "1.1", "[DONE]")
    assert (document["type"], document["id"]) == ("data-plan", str(PLAN_ID))
    assert (document["data"]["plan"], document["data"]["status"]) == (ENDS[name]["plan"], ENDS[name]["status"])
    assert end == ai_sdk
    (none, state), (last_id, end) = _parts(frames, AG_UI)
    assert (none, last_id) == ("", "1.1")
    assert state["snapshot"]["plan"] == ENDS[name]["plan"]
    assert end["type"] == ag_ui
    if ag_ui == "RUN_FINISHED":
        assert end["outcome"] == {"type": "success" if name == "complete" else "cancelled"}
        assert end["threadId"] == end["runId"] == str(PLAN_ID)
    else:
        assert (end["message"], end["code"]) == ("No.", "invalid_plan")


def test_every_beginning_in_every_dialect() -> None:
    """Without an id, as `connected` has none."""
    data = Connected(plan_id=PLAN_ID, status="generating", phase="queued").model_dump_json(by_alias=True)
    frame = Frame("connected", data.encode())
    assert _parts([frame], AI_SDK) == [("", {"type": "start", "messageId": str(PLAN_ID)})]
    started = {"type": "RUN_STARTED", "threadId": str(PLAN_ID), "runId": str(PLAN_ID)}
    assert _parts([frame], AG_UI) == [("", started)]


# What a generator writes: `add` of new members and items, `replace` of what is there, and `append` to strings.
_TEXT = st.text(max_size=5)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)


def _places(document: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every value with its pointer."""
    found = [(path, document)]
    if isinstance(document, dict):
        for key, value in document.items():
            found += _places(value, f"{path}/{escape(key)}")
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += _places(value, f"{path}/{index}")
    return found


@st.composite
def _operation(draw: st.DrawFn, document: Any) -> Op:
    path, value = draw(st.sampled_from(_places(document)))
    given_value = draw(_VALUES)
    if isinstance(value, str) and draw(st.booleans()):
        return {"op": "append", "path": path, "value": draw(_TEXT)}
    if isinstance(value, dict) and draw(st.booleans()):
        return {"op": "add", "path": f"{path}/{escape(draw(_TEXT))}", "value": given_value}
    if isinstance(value, list) and draw(st.booleans()):
        place = draw(st.sampled_from(["-", *map(str, range(len(value) + 1))]))
        return {"op": "add", "path": f"{path}/{place}", "value": given_value}
    return {"op": draw(st.sampled_from(["add", "replace"])), "path": path, "value": given_value} if path == "" else {
        "op": "replace", "path": path, "value": given_value
    }  # fmt: skip


@st.composite
def _plan(draw: st.DrawFn) -> list[list[Op]]:
    """The operations of some events that fit each other."""
    document: Any = None
    events: list[list[Op]] = []
    for _ in range(draw(st.integers(1, 6))):
        ops: list[Op] = []
        for _ in range(draw(st.integers(0, 4))):
            op = draw(_operation(document))
            ops.append(orjson.loads(orjson.dumps(op)))
            document = fold.apply(document, [op])
        events.append(ops)
    return events


def _standard(document: Any, ops: list[dict[str, Any]]) -> Any:
    """RFC 6902, as its own text has it: `add` and `replace` alone, and `replace` only of what is there."""
    for op in orjson.loads(orjson.dumps(ops)):
        assert op["op"] in ("add", "replace")
        *parents, last = [unescape(token) for token in op["path"].split("/")[1:]]
        target = document
        for token in parents:
            target = target[int(token)] if isinstance(target, list) else target[token]
        if isinstance(target, list) and op["op"] == "add":
            target.insert(len(target) if last == "-" else int(last), op["value"])
        elif isinstance(target, list):
            target[int(last)] = op["value"]
        else:
            assert op["op"] == "add" or last in target
            target[last] = op["value"]
    return document


@given(_plan())
@settings(max_examples=40)
def test_ag_ui_patches_make_the_document_of_our_fold(events: list[list[Op]]) -> None:
    """Taken at once or late: a frame says what was so when its event came, whatever has come since."""
    channel = _channel()
    late, prompt = _join(channel, "patches"), _join(channel, "patches")
    whole, documents = _join(channel, "snapshots"), []
    states: list[Any] = []
    taken = prompt.take()
    document: Any = None
    for seq, ops in enumerate(events, 1):
        channel.receive(_event("progress", seq, ops=ops, progress={**PROGRESS, "percent": seq}))
        document = fold.apply(document, orjson.loads(orjson.dumps(ops)))
        documents.append(orjson.loads(orjson.dumps(document)))
        taken += prompt.take()
        [(_, part)] = _parts(whole.take(), AI_SDK)
        assert part["data"]["plan"] == documents[-1]
    for frames in (taken, [taken[0], *late.take()]):
        state: Any = None
        states.clear()
        for _, part in _parts(frames, AG_UI):
            state = part["snapshot"] if part["type"] == "STATE_SNAPSHOT" else _standard(state, part["delta"])
            states.append(orjson.loads(orjson.dumps(state)))
        if frames is taken:
            assert [each["plan"] for each in states[1:]] == documents
            assert states[-1]["progress"]["percent"] == len(events)
    assert state["plan"] == documents[-1]


def test_patches_are_made_only_while_somebody_wants_them() -> None:
    """Other viewers cost nothing of it."""
    channel = _channel()
    plain = _join(channel)
    plain.take()
    channel.receive(_event("progress", 1, ops=[{"op": "add", "path": "", "value": "a"}], progress=PROGRESS))
    patched = _join(channel, "patches")
    channel.receive(_event("progress", 2, ops=[{"op": "append", "path": "", "value": "b"}], progress=PROGRESS))
    channel.remove(patched)
    channel.remove(patched)
    channel.receive(_event("progress", 3, ops=[{"op": "append", "path": "", "value": "c"}], progress=PROGRESS))
    assert [frame.patch is not None for frame in plain.take()] == [False, True, False]


def test_a_patch_counts_for_what_it_costs() -> None:
    """A whole string for each event would otherwise wait unbounded for one that reads slowly."""
    channel = _channel()
    viewer = Viewer(channel, mode="patches", limits=BufferLimits(size=10_000))
    channel.add(viewer)
    viewer.take()
    channel.receive(_event("progress", 1, ops=[{"op": "add", "path": "", "value": "x" * 3000}], progress=PROGRESS))
    for seq in range(2, 8):
        ops = [{"op": "append", "path": "", "value": "y"}]
        channel.receive(_event("progress", seq, ops=ops, progress=PROGRESS))
    assert viewer.conflated == 1
