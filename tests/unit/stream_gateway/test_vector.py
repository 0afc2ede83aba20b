"""Where a viewer of a batch stands, and the batch as one feed."""

import asyncio
from typing import Any, cast
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import sse
from stream_gateway.attach import Attachment
from stream_gateway.batch_feed import BatchFeed, Member
from stream_gateway.channel import Channel
from stream_gateway.cursor import Cursor, Vector
from stream_gateway.hub import Watch
from stream_gateway.viewer import Viewer
from stream_gateway.wake import Wake

_CURSORS = st.none() | st.builds(Cursor, st.integers(0, 2**31), st.integers(0, 2**31))


@given(st.lists(_CURSORS, max_size=20), st.booleans())
def test_a_vector_is_read_as_it_was_written(cursors: list[Cursor | None], ended: bool) -> None:
    """Of any batch, with and without its end."""
    written = str(Vector(cursors, ended=ended))
    read = Vector.parse(written, len(cursors))
    assert (read.cursors, read.ended) == (cursors, ended)


@given(st.text(alphabet="0123456789.,-end \n", max_size=30) | st.text(max_size=30), st.integers(0, 4))
def test_whatever_is_sent_is_a_vector(text: str, plans: int) -> None:
    """Either it is exactly what we write, or nothing of it is believed."""
    read = Vector.parse(text, plans)
    assert len(read.cursors) == plans
    assert str(read) == text or (read.cursors == [None] * plans and not read.ended)


def test_the_examples_of_the_protocol() -> None:
    """As they stand there."""
    assert str(Vector([Cursor(1, 5), Cursor(2, 0), None, Cursor(1, 7)])) == "1.5,2.0,-,1.7"
    assert Vector.parse("1.9,2.4,end", 2).ended
    assert Vector.parse("end", 0).ended
    assert Vector.parse(None, 2).cursors == [None, None]


def _event(plan_id: UUID, name: str, seq: int, **members: Any) -> bytes:
    return orjson.dumps({"event": name, "planId": str(plan_id), "attempt": 1, "seq": seq} | members)


class Batch:
    """Two plans and a viewer of each, without a hub."""

    def __init__(self, cursor: str | None = None) -> None:
        self.wake = Wake()
        self.vector = Vector.parse(cursor, 2)
        self.ids = [UUID(int=1), UUID(int=2)]
        self.channels = [Channel(plan_id, lambda _: None, lambda: 0.0) for plan_id in self.ids]
        self.viewers = []
        members = []
        for channel, at in zip(self.channels, self.vector.cursors, strict=True):
            viewer = Viewer(channel, at, wake=self.wake)
            channel.add(viewer)
            self.viewers.append(viewer)
            attachment = cast("Attachment", _Attached(channel))
            members.append(Member(channel.plan_id, Watch(attachment, viewer)))
        self.feed = BatchFeed(UUID(int=9), members, self.vector, self.wake)

    def say(self, index: int, name: str, seq: int, **members: Any) -> None:
        """An event of one of the plans."""
        plan: dict[str, Any] = {"plan": None, "progress": {}} if name == "snapshot" else {}
        self.channels[index].receive(_event(self.ids[index], name, seq, **plan, **members))

    def end(self, index: int, seq: int) -> None:
        """The end of one of the plans."""
        self.say(index, "cancelled", seq, status="failed", plan=None)

    def taken(self) -> list[tuple[str, str]]:
        """What is taken now: ids and names."""
        return [(event.id, event.event) for event in sse.Decoder().feed(self.feed.take())]


class _Attached:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel


async def test_every_event_has_the_place_of_all_after_it() -> None:
    """Also within what is written at once, so that a write that is cut short is resumed exactly."""
    batch = Batch()
    for index in (0, 1):
        batch.say(index, "snapshot", 0)
    assert batch.taken() == [("1.0,-", "snapshot"), ("1.0,1.0", "snapshot")]
    for seq in (1, 2):
        batch.say(0, "progress", seq, ops=[], progress={})
    batch.end(1, 1)
    expected = [("1.1,1.0", "progress"), ("1.2,1.0", "progress"), ("1.2,1.1", "cancelled")]
    assert batch.taken() == expected
    assert batch.feed.reason is None
    batch.end(0, 3)
    assert batch.taken() == [("1.3,1.1", "cancelled"), ("1.3,1.1,end", "batch_complete")]
    assert batch.feed.reason == "ended"


async def test_what_was_seen_to_the_end_says_nothing_more() -> None:
    """The cursor holds all ends and the batch's: the feed closes without a word, as soon as that is sure."""
    batch = Batch("1.3,1.1,end")
    batch.end(0, 3)
    assert batch.taken() == []
    assert batch.feed.reason is None
    batch.end(1, 1)
    assert batch.taken() == []
    assert batch.feed.reason == "ended"


async def test_a_false_end_is_told_again() -> None:
    """Who claims the end, and has not had all of it, gets the rest and the batch's end."""
    batch = Batch("1.3,1.0,end")
    batch.end(0, 3)
    batch.end(1, 1)
    assert batch.taken() == [("1.3,1.1", "cancelled"), ("1.3,1.1,end", "batch_complete")]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_member_that_is_closed_closes_the_batch(*, whole: bool) -> None:
    """Be it the batch or one of its viewers: no batch_complete, and all of them leave."""
    batch = Batch()
    batch.end(0, 1)
    (batch.feed if whole else batch.viewers[1]).close("drain")
    assert batch.taken() == [("1.1,-", "cancelled")]
    assert batch.feed.reason == "drain"
    assert batch.viewers[1].reason == "drain"


async def test_members_share_one_wake() -> None:
    """Whoever has something wakes the writer."""
    batch = Batch()
    batch.feed.take()
    await batch.feed.wait()
    batch.say(1, "snapshot", 0)
    async with asyncio.timeout(1):
        await batch.feed.wait()
    assert batch.taken() == [("-,1.0", "snapshot")]
