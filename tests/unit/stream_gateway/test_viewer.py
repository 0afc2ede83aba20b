"""The bounded buffer of a viewer, and the channel that fills it."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from common.contracts.events import Progress
from common.contracts.internal import PlanView
from stream_gateway import metrics
from stream_gateway.channel import HELD_EVENTS, Channel
from stream_gateway.cursor import Cursor
from stream_gateway.frame import Frame, as_sse
from stream_gateway.plan_event import PlanEvent, event_of_view
from stream_gateway.splice import Ended, Live, Torn
from stream_gateway.viewer import BufferLimits, Viewer
from testkit.metrics import counted

PLAN_ID = UUID("6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac")
PROGRESS = {"phase": "streaming", "percent": 1.0}


def _event(name: str, seq: int, attempt: int = 1, **members: Any) -> bytes:
    place = {"event": name, "planId": str(PLAN_ID), "attempt": attempt, "seq": seq}
    return orjson.dumps(place | members)


def _snapshot(seq: int, text: str, attempt: int = 1) -> bytes:
    return _event("snapshot", seq, attempt, plan={"monthly_summary": text}, progress=PROGRESS)


def _append(seq: int, text: str, attempt: int = 1) -> bytes:
    ops = [{"op": "append", "path": "/monthly_summary", "value": text}]
    return _event("progress", seq, attempt, ops=ops, progress=PROGRESS)


def _names(taken: list[Frame]) -> list[str]:
    return [f"{frame.name} {frame.at}" for frame in taken]


def _plan(taken: list[Frame]) -> str:
    text: str = orjson.loads(taken[-1].data)["plan"]["monthly_summary"]
    return text


def _state(channel: Channel) -> list[Frame]:
    state = channel.snapshot()
    assert state is not None
    return [state]


class Asked:
    """Counts the questions for a snapshot."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, _: Channel) -> None:
        self.times += 1


@pytest.fixture
def asked() -> Asked:
    """What the channel calls at a gap."""
    return Asked()


@pytest.fixture
def channel(asked: Asked) -> Channel:
    """A live plan at 1.0."""
    made = Channel(PLAN_ID, asked, lambda: 0.0)
    made.receive(_snapshot(0, ""))
    return made


def _join(channel: Channel, cursor: Cursor | None = None, **options: Any) -> Viewer:
    viewer = Viewer(channel, cursor, **options)
    channel.add(viewer)
    return viewer


async def test_what_waits_is_taken_at_once(channel: Channel) -> None:
    """Frames come in order, and the viewer then stands where the plan stands."""
    viewer = _join(channel, Cursor(1, 0))
    channel.receive(_append(1, "a"))
    channel.receive(_append(2, "b"))
    await asyncio.wait_for(viewer.wait(), 1)
    assert _names(viewer.take()) == ["progress 1.1", "progress 1.2"]
    assert viewer.cursor == (1, 2)
    assert viewer.take() == []


async def test_too_many_frames_become_one_snapshot_of_the_moment_it_is_taken(channel: Channel) -> None:
    """Overflow by count drops what waits; what comes after it is in the snapshot, and deltas go on from there."""
    viewer = _join(channel, Cursor(1, 0), limits=BufferLimits(frames=3))
    with counted(metrics.CONFLATED) as conflated:
        for seq in range(1, 8):
            channel.receive(_append(seq, str(seq)))
    taken = viewer.take()
    assert conflated() == 1
    assert (_names(taken), _plan(taken), viewer.conflated) == (["snapshot 1.7"], "1234567", 1)
    channel.receive(_append(8, "8"))
    assert _names(viewer.take()) == ["progress 1.8"]


async def test_too_many_bytes_become_one_snapshot(channel: Channel) -> None:
    """Overflow by size, but a single frame larger than the bound still goes out."""
    viewer = _join(channel, Cursor(1, 0), limits=BufferLimits(size=100))
    channel.receive(_append(1, "x" * 1000))
    assert _names(viewer.take()) == ["progress 1.1"]
    with counted(metrics.CONFLATED) as conflated:
        channel.receive(_append(2, "x" * 1000))
        channel.receive(_append(3, "x" * 1000))
    assert (_names(viewer.take()), conflated()) == (["snapshot 1.3"], 1)


async def test_viewers_share_the_bytes(channel: Channel) -> None:
    """An event is encoded once, and so is the snapshot of one (attempt, seq)."""
    viewers = [_join(channel, Cursor(1, 0)) for _ in range(3)]
    channel.receive(_append(1, "a"))
    assert len({id(viewer.take()[0].encoded(as_sse)) for viewer in viewers}) == 1
    late = [_join(channel) for _ in range(3)]
    assert len({id(viewer.take()[0].encoded(as_sse)) for viewer in late}) == 1


async def test_a_conflated_viewer_ends_with_the_end_alone(channel: Channel) -> None:
    """The terminal event carries the document; nothing is put after it."""
    viewer = _join(channel)
    channel.receive(_append(1, "a"))
    channel.receive(_event("cancelled", 2, status="partial", plan={"monthly_summary": "a"}))
    channel.receive(_append(3, "late"))
    assert _names(viewer.take()) == ["cancelled 1.2"]
    assert (viewer.reason, channel.status, channel.position) == ("ended", "partial", Ended(Cursor(1, 2)))


async def test_events_held_over_a_gap_follow_the_snapshot(channel: Channel, asked: Asked) -> None:
    """What arrives before its turn is held, not lost, and what the snapshot covers is not repeated."""
    viewer = _join(channel, Cursor(1, 0))
    for seq in (3, 4, 5):
        channel.receive(_append(seq, str(seq)))
    assert viewer.take() == []
    assert asked.times == 3
    channel.receive(_snapshot(3, "123"))
    taken = viewer.take()
    assert _names(taken) == ["snapshot 1.3", "progress 1.4", "progress 1.5"]
    assert not channel.gapped


async def test_what_is_held_is_bounded(channel: Channel) -> None:
    """Past the bound the oldest goes, which leaves a gap to ask about."""
    for seq in range(2, HELD_EVENTS + 10):
        channel.receive(_append(seq, "x"))
    channel.receive(_snapshot(1, ""))
    assert channel.position == Live(Cursor(1, 1))
    assert channel.gapped


async def test_a_torn_document_is_shown_to_nobody(channel: Channel, asked: Asked) -> None:
    """After an operation that does not fit nobody gets a snapshot until a good one has come."""
    following, stale = _join(channel, Cursor(1, 0)), _join(channel)
    channel.receive(_event("progress", 1, ops=[{"op": "append", "path": "/x", "value": "y"}], progress=PROGRESS))
    newcomer = _join(channel)
    assert channel.position == Torn(Cursor(1, 0))
    assert [viewer.take() for viewer in (following, stale, newcomer)] == [[], [], []]
    assert asked.times == 1
    channel.receive(_snapshot(1, "good"))
    assert {_plan(viewer.take()) for viewer in (following, stale, newcomer)} == {"good"}


async def test_a_waiting_viewer_hears_where_it_stands_when_we_know(asked: Asked) -> None:
    """A viewer that came before the state continues when its cursor fits, and gets the state when not."""
    channel = Channel(PLAN_ID, asked, lambda: 0.0)
    fits, behind = _join(channel, Cursor(1, 4)), _join(channel, Cursor(1, 3))
    channel.receive(_snapshot(4, "1234"))
    assert (fits.take(), _names(behind.take())) == ([], ["snapshot 1.4"])
    channel.receive(_append(5, "5"))
    assert _names(fits.take()) == _names(behind.take()) == ["progress 1.5"]


def _row(attempt: int, seq: int, text: str | None) -> PlanEvent | None:
    return event_of_view(
        PlanView(
            plan_id=PLAN_ID,
            user_id=PLAN_ID,
            status="generating",
            attempt=attempt,
            seq=seq,
            plan=None if text is None else {"monthly_summary": text},
            progress=Progress.queued(4),
            updated_at=datetime.now(UTC),
        )
    )


@pytest.mark.parametrize("begun", [False, True], ids=["a newcomer's channel", "a channel of the attempt before"])
async def test_a_row_that_is_only_claimed_is_no_state(asked: Asked, begun: bool) -> None:
    """The claim wrote (2, 0) over what attempt 1 had; the owner keeps less, and its operations stand on that."""
    channel = Channel(PLAN_ID, asked, lambda: 0.0)
    if begun:
        channel.receive(_snapshot(7, "kept and dropped"))
    viewer = _join(channel)
    viewer.take()
    claimed = _row(2, 0, "kept and dropped")
    if claimed is not None:
        channel.take(claimed)
    channel.receive(_snapshot(0, "kept", attempt=2))
    channel.receive(_append(1, " and new", attempt=2))
    assert channel.position == Live(Cursor(2, 1))
    assert _plan(_state(channel)) == "kept and new"
    newcomer = _join(channel)
    assert _plan(newcomer.take()) == "kept and new"


def test_other_rows_of_running_plans_are_states() -> None:
    """The first attempt's opening, which has nothing before it, and every row that the owner has saved."""
    for at in ((1, 0), (1, 5), (2, 1)):
        event = _row(*at, "text")
        assert event is not None
        assert event.at == at
    assert _row(0, 0, None) is None


async def test_only_known_events_of_this_plan_count(channel: Channel, asked: Asked) -> None:
    """Unknown events are skipped; malformed known ones, and another plan's, are refused and asked about."""
    assert channel.receive(_event("news", 1)) is False
    assert asked.times == 0
    wrong: list[bytes] = [
        b"not json",
        b"[]",
        b'{"planId":"x"}',
        _event("progress", 1),
        _event("snapshot", 1),
        _event("complete", 1),
        _event("snapshot", -1, plan=None, progress=PROGRESS),
        _append(1, "x").replace(str(PLAN_ID).encode(), b"6b4bd1c8-4b43-4d31-9a57-000000000000"),
    ]
    assert [channel.receive(raw) for raw in wrong] == [False] * len(wrong)
    assert asked.times == len(wrong)
    assert channel.position == Live(Cursor(1, 0))


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _outrun(cursor: Cursor, asked: Asked, clock: Clock) -> tuple[Channel, Viewer]:
    channel = Channel(PLAN_ID, asked, clock)
    channel.receive(_snapshot(61, "old"))
    viewer = Viewer(channel, cursor)
    channel.add(viewer)
    return channel, viewer


def test_a_viewer_that_has_seen_more_is_not_sent_back(asked: Asked) -> None:
    """Another gateway had told it more: we ask, and it waits until we have come to where it stands."""
    channel, viewer = _outrun(Cursor(1, 104), asked, Clock())
    assert (asked.times, channel.gapped) == (1, True)
    channel.receive(_append(62, " news"))
    assert viewer.take() == []
    channel.receive(_snapshot(104, "all of it"))
    channel.receive(_append(105, " and more"))
    assert _names(viewer.take()) == ["progress 1.105"]
    assert not channel.gapped


def test_a_viewer_ahead_is_caught_up_with_by_a_snapshot(asked: Asked) -> None:
    """What we hear next may lie beyond where it stands."""
    channel, viewer = _outrun(Cursor(1, 104), asked, Clock())
    channel.receive(_snapshot(107, "more"))
    assert _names(viewer.take()) == ["snapshot 1.107"]
    assert not channel.outrun


def test_a_cursor_from_nowhere_gets_the_state(asked: Asked) -> None:
    """The owner is sure of its own attempt at once; a row, or the owner of another, only after the save's age."""
    clock = Clock()
    channel, viewer = _outrun(Cursor(1, 104), asked, clock)
    channel.be_sure(clock.now, of_owner=True)
    assert _names(viewer.take()) == ["snapshot 1.61"]
    channel, viewer = _outrun(Cursor(2, 1), asked, clock)
    channel.be_sure(clock.now, of_owner=True)
    channel.be_sure(clock.now, of_owner=False)
    assert viewer.take() == []
    channel.be_sure(clock.now + 2.0, of_owner=False)
    assert _names(viewer.take()) == ["snapshot 1.61"]
    assert not channel.outrun


def test_a_row_sends_nobody_back_before_a_takeover(asked: Asked) -> None:
    """An owner that died had published more than it stored: the next attempt goes on from there, and no viewer back."""
    clock = Clock()
    channel, viewer = _outrun(Cursor(1, 104), asked, clock)
    channel.be_sure(clock.now + 10.0, of_owner=False)
    assert viewer.take() == []
    channel.receive(_snapshot(0, "taken over", attempt=2))
    assert _names(viewer.take()) == ["snapshot 2.0"]
    channel, viewer = _outrun(Cursor(1, 104), asked, clock)
    channel.be_sure(clock.now + 20.0, of_owner=False)
    assert _names(viewer.take()) == ["snapshot 1.61"]


def test_an_older_answer_says_nothing_of_who_came_after_the_question(asked: Asked) -> None:
    """What the owner said before may be less than what a viewer has seen elsewhere since."""
    clock = Clock()
    channel, viewer = _outrun(Cursor(1, 62), asked, clock)
    channel.be_sure(clock.now - 0.1, of_owner=True)
    channel.receive(_append(62, " seen"))
    channel.receive(_append(63, " next"))
    assert _names(viewer.take()) == ["progress 1.63"]


def test_a_viewer_ahead_that_leaves_is_forgotten(asked: Asked) -> None:
    """Nobody is asked on its behalf any more."""
    channel, viewer = _outrun(Cursor(1, 104), asked, Clock())
    channel.remove(viewer)
    assert not channel.gapped
