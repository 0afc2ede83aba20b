"""A plan while it is written: numbered events that fold to the state which a snapshot shows."""

import copy
import json
from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter

from common import payloads
from common.contracts.events import StreamEvent
from common.contracts.plan import DAYS
from common.fold import apply
from generator.draft import Kept
from generator.identity import completed
from generator.live_plan import LivePlan
from generator.meter import Meter
from generator.plan_parser import ParseError

EVENT: TypeAdapter[Any] = TypeAdapter(StreamEvent)
TEXT = json.dumps(
    {
        "monthly_summary": "A plan — with “quotes” and a\nline.",
        "weekly_breakdown": [
            {"week": n, "focus": "f", "goals": ["g"], "daily_tasks": {day: [] for day in DAYS}} for n in (1, 2, 3, 4)
        ],
    }
)


class Timer:
    """A timer that fires when the test says so."""

    def __init__(self, callback: Any) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Bench:
    """A live plan, what it has sent, and its timers."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.timers: list[Timer] = []
        self.saves = 0
        self.plan = LivePlan(
            uuid4(),
            1,
            Kept(),
            Meter(4, started_at=0),
            send=self._send,
            clock=lambda: 1.0,
            call_later=self._later,
            save_soon=self._save_soon,
        )

    def _send(self, payload: bytes) -> None:
        assert payload.startswith(b'{"event":"')
        EVENT.validate_json(payload)
        self.sent.append(json.loads(payload))

    def _later(self, _: float, callback: Any) -> Any:
        self.timers.append(Timer(callback))
        return self.timers[-1]

    def fire(self) -> None:
        """Let all timers that were not cancelled go off."""
        timers, self.timers = self.timers, []
        for timer in timers:
            if not timer.cancelled:
                timer.callback()

    def _save_soon(self) -> None:
        self.saves += 1

    def folded(self) -> Any:
        """What a viewer holds who got everything."""
        held: Any = None
        seq = -1
        for event in copy.deepcopy(self.sent):
            if event["event"] == "snapshot":
                held = event["plan"]
            else:
                assert event["seq"] == seq + 1
                held = apply(held, event["ops"])
            seq = event["seq"]
        return held


@pytest.mark.parametrize("size", [1, 4, 50, 5000])
def test_events_fold_to_the_document(size: int) -> None:
    """With time to spare every piece goes out at once, numbered without a gap."""
    bench = Bench()
    bench.plan.open()
    for start in range(0, len(TEXT), size):
        bench.plan.feed(TEXT[start : start + size])
        assert bench.folded() == bench.plan.document
    assert bench.folded() == json.loads(TEXT)
    assert bench.saves >= 1


def test_what_is_fed_at_once_is_one_event() -> None:
    """A read of many tokens becomes one event, in which each place has one operation; nothing waits for a timer."""
    bench = Bench()
    bench.plan.open()
    bench.plan.feed('{"monthly_summary": "abcd", "weekly_breakdown": [')
    bench.plan.feed('{"week"')
    assert [event["event"] for event in bench.sent] == ["snapshot", "progress", "progress"]
    assert bench.sent[1]["ops"] == [
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "path": "/monthly_summary", "value": "abcd"},
        {"op": "add", "path": "/weekly_breakdown", "value": []},
    ]
    assert bench.timers == []


def test_text_that_changes_nothing_is_no_event() -> None:
    """Half a key, or white space, is not worth a number."""
    bench = Bench()
    bench.plan.open()
    bench.plan.feed('{"monthly')
    bench.plan.feed("_summary")
    bench.plan.feed('":   ')
    assert [(event["event"], event["seq"]) for event in bench.sent] == [("snapshot", 0), ("progress", 1)]


def test_snapshot_holds_exactly_what_was_published() -> None:
    """Rule 4: a state request answers with the state after the last published event, and its seq."""
    bench = Bench()
    bench.plan.open()
    bench.plan.feed('{"monthly_summary": "abc')
    snapshot = json.loads(bench.plan.state())
    assert (snapshot["seq"], snapshot["plan"]) == (1, {"monthly_summary": "abc"})
    assert bench.sent[-1]["event"] == "progress"
    assert bench.sent[-1]["seq"] == 1


def test_restart_is_a_snapshot_at_the_next_seq() -> None:
    """A continuation drops what it does not keep, and goes on counting."""
    bench = Bench()
    bench.plan.open()
    bench.plan.feed('{"monthly_summary": "All.", "weekly_breakdown": [{"we')
    bench.plan.restart(Kept("All."), "retrying")
    assert bench.sent[-1]["event"] == "snapshot"
    assert bench.sent[-1]["seq"] == bench.sent[-2]["seq"] + 1
    assert bench.folded() == {"monthly_summary": "All.", "weekly_breakdown": []}


def test_a_suspect_plan_is_silent_until_a_write_has_matched() -> None:
    """Rule 7: a zombie says nothing; once trusted it opens with a snapshot, and seq has gone on."""
    bench = Bench()
    bench.plan.open()
    bench.plan.distrust()
    bench.plan.feed('{"monthly_summary": "abc"')
    assert len(bench.sent) == 1
    bench.plan.trust_in(1)
    bench.fire()
    assert bench.sent[-1]["event"] == "snapshot"
    assert bench.sent[-1]["plan"] == {"monthly_summary": "abc"}
    assert bench.sent[-1]["seq"] == 1


def test_the_first_word_after_a_doubt_is_a_snapshot() -> None:
    """Rule 7: what was written before trust has returned is in the snapshot, not before it."""
    bench = Bench()
    bench.plan.open()
    bench.plan.distrust()
    bench.plan.trust_in(1)
    bench.plan.feed('{"monthly_summary": "abc"')
    bench.fire()
    assert [(event["event"], event["seq"]) for event in bench.sent] == [("snapshot", 0), ("snapshot", 1)]
    assert bench.sent[-1]["plan"] == {"monthly_summary": "abc"}


def test_trust_from_before_another_doubt_does_not_count() -> None:
    """Rule 7: a write that matched before the newest doubt says nothing now; many matches make one snapshot."""
    bench = Bench()
    bench.plan.open()
    bench.plan.distrust()
    bench.plan.trust_in(1)
    bench.plan.trust_in(1)
    bench.plan.distrust()
    bench.fire()
    assert bench.plan.suspect
    assert len(bench.sent) == 1
    bench.plan.trust_in(1)
    bench.fire()
    assert len(bench.sent) == 2


def test_a_silenced_plan_is_never_trusted_again() -> None:
    """Rule 7: after the fence has fallen nothing is said any more, not even by a timer that was running."""
    bench = Bench()
    bench.plan.open()
    bench.plan.distrust()
    bench.plan.trust_in(1)
    bench.plan.silence()
    bench.plan.trust_in(1)
    bench.fire()
    assert len(bench.sent) == 1


def test_saves_carry_the_document_only_when_it_has_changed() -> None:
    """The lease is renewed without writing the document again; an emptied document is cleared."""
    bench = Bench()
    bench.plan.open()
    bench.plan.feed('{"monthly_summary": "All.", "x')
    first = bench.plan.to_save()
    assert (first.seq, first.partial) == (1, '{"monthly_summary":"All."}')
    bench.plan.saved(first)
    assert bench.plan.to_save().partial is None
    bench.plan.restart(Kept(), "retrying")
    assert bench.plan.to_save().partial == ""


def test_text_that_is_refused_leaves_viewers_with_what_came_before() -> None:
    """The operations of the refused chunk up to the fault are published, so the fold equals the document."""
    bench = Bench()
    bench.plan.open()
    with pytest.raises(ParseError):
        bench.plan.feed('{"monthly_summary": "abc", "weekly_breakdown": [}')
    assert bench.folded() == bench.plan.document == {"monthly_summary": "abc", "weekly_breakdown": []}


def test_what_cannot_be_stored_is_replaced() -> None:
    """Half a surrogate pair and NUL, legal escapes in JSON, fit neither UTF-8 nor jsonb."""
    bench = Bench()
    bench.plan.open()
    for piece in (r'{"a\ud83d": "x\ud83', r"d y\u0000 \ud83d", r'\ude00"}'):
        bench.plan.feed(piece)
    assert bench.folded() == {"a\ufffd": "x\ufffd y\ufffd \U0001f600"}
    assert bench.plan.to_save().partial is not None


@pytest.mark.parametrize("number", ["99999999999999999999", "-99999999999999999999", "1e999"])
def test_numbers_that_cannot_be_encoded_are_refused(number: str) -> None:
    """A number beyond 64 bits would break the save of every plan in the batch; it ends the answer instead."""
    bench = Bench()
    bench.plan.open()
    with pytest.raises(ParseError, match="out of range"):
        bench.plan.feed(f'{{"week": {number}, ')
    assert bench.plan.to_save().partial == "{}"


def test_after_the_end_the_state_is_the_terminal_event() -> None:
    """Rule 6: from storing on, the answer to everything is the outcome."""
    bench = Bench()
    bench.plan.open()
    plan = bench.plan
    payload = payloads.terminal(plan.plan_id, 1, 1, completed({"a": 1}).end, None, plan.meter.read(1, ended=True))
    plan.end(payload, 1)
    assert plan.state() == payload
    assert bench.sent[-1]["event"] == "complete"
