"""Which plans are watched here, and by whom: planId → attachment, counted by viewers."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from common.server import Draining
from common.tasks import end
from stream_gateway.attach import Attachment, Line
from stream_gateway.channel import Channel
from stream_gateway.cursor import Cursor
from stream_gateway.plan_event import PlanEvent
from stream_gateway.viewer import Mode, Viewer

LINGER_SECONDS = 5.0
DRAIN_SECONDS = 2.0

# The other endings are ours, and the client is expected back at once: that must not start the owner's clock.
_LEFT = frozenset({"disconnected", "stalled"})


@dataclass(frozen=True, slots=True)
class Watch:
    """A viewer in its place."""

    attachment: Attachment
    viewer: Viewer

    @property
    def channel(self) -> Channel:
        """The watched plan."""
        return self.attachment.channel


class Hub:
    """The reference count. Nothing here waits, so no race can come between looking and doing."""

    def __init__(self, line: Line, *, linger: float = LINGER_SECONDS) -> None:
        self._line = line
        self._linger = linger
        self._watched: dict[UUID, Attachment] = {}
        # Plans that have ended and that nobody watches any more: a late viewer still gets its end from here.
        self._ended: dict[UUID, Attachment] = {}

    def __iter__(self) -> Iterator[Attachment]:
        return iter(tuple(self._watched.values()))

    def join(self, plan_id: UUID, cursor: Cursor | None = None, mode: Mode = "deltas") -> Watch:
        """Begin to watch. Whoever joins must `leave`."""
        attachment = self._watched.get(plan_id) or self._ended.get(plan_id)
        if attachment is None:
            attachment = self._watched[plan_id] = Attachment(plan_id, self._line)
            attachment.ask()
        viewer = Viewer(attachment.channel, cursor, mode)
        attachment.channel.add(viewer)
        return Watch(attachment, viewer)

    def leave(self, watch: Watch) -> None:
        """End a watch. The last one out takes the entry away: newcomers make a new one."""
        attachment, channel = watch.attachment, watch.channel
        channel.remove(watch.viewer)
        if channel.viewers or attachment.retired:
            return
        attachment.retired = True
        if self._watched.get(channel.plan_id) is attachment:
            del self._watched[channel.plan_id]
        if channel.ended:
            self._ended[channel.plan_id] = attachment
        left = not channel.ended and watch.viewer.reason in _LEFT
        self._line.tasks.spawn(self._retire(attachment, left=left), f"retire {channel.plan_id}")

    async def _retire(self, attachment: Attachment, *, left: bool) -> None:
        try:
            await attachment.retire(left=left, linger=self._linger)
        finally:
            if self._ended.get(attachment.channel.plan_id) is attachment:
                del self._ended[attachment.channel.plan_id]

    def tell(self, plan_id: UUID, event: PlanEvent) -> None:
        """News of a plan that came another way, as the answer to a cancellation does."""
        attachment = self._watched.get(plan_id)
        if attachment is not None:
            attachment.channel.take(event)

    def forget(self, plan_id: UUID) -> None:
        """The plan was deleted: its end is no longer kept for late viewers."""
        self._ended.pop(plan_id, None)

    def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Close every stream, spread over the window, so that the viewers do not all come back at once elsewhere."""
        loop = asyncio.get_running_loop()
        for attachment in self:
            for viewer in attachment.channel:
                loop.call_later(random.uniform(0, seconds), viewer.close, "drain")  # noqa: S311 - jitter


@asynccontextmanager
async def close_streams_on(draining: Draining, hub: Hub) -> AsyncIterator[None]:
    """Close the streams when the drain begins: the server itself would wait for them without a word."""

    async def wait() -> None:
        await draining.wait()
        hub.drain()

    task = asyncio.create_task(wait(), name="drain")
    try:
        yield
    finally:
        await end(task)
