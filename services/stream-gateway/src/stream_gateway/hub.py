"""Which plans are watched here, and by whom: planId → attachment, counted by viewers."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from uuid import UUID

from stream_gateway.attach import Attachment, Line
from stream_gateway.channel import Channel
from stream_gateway.cursor import Cursor
from stream_gateway.plan_event import PlanEvent
from stream_gateway.splice import Live
from stream_gateway.viewer import Mode, Viewer
from stream_gateway.wake import Wake

LINGER_SECONDS = 5.0

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

    def __len__(self) -> int:
        return len(self._watched)

    def __iter__(self) -> Iterator[Attachment]:
        return iter(tuple(self._watched.values()))

    def join(
        self,
        plan_id: UUID,
        cursor: Cursor | None = None,
        mode: Mode = "deltas",
        wake: Wake | None = None,
    ) -> Watch:
        """Begin to watch; `wake` as for a viewer. Whoever joins must `leave`."""
        attachment = self._watched.get(plan_id) or self._ended.get(plan_id)
        if attachment is None:
            attachment = self._watched[plan_id] = Attachment(plan_id, self._line)
            attachment.ask()
        viewer = Viewer(attachment.channel, cursor, mode, wake=wake)
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

    def advanced_at(self, plan_id: UUID) -> float:
        """When a plan that is watched here, and goes on, was last seen to be written; else for ever ago."""
        attachment = self._watched.get(plan_id)
        if attachment is None or not isinstance(attachment.channel.position, Live):
            return -inf
        return attachment.channel.advanced_at

    def tell(self, plan_id: UUID, event: PlanEvent) -> None:
        """News of a plan that came another way, as the answer to a cancellation does."""
        attachment = self._watched.get(plan_id)
        if attachment is not None:
            attachment.channel.take(event)

    def forget(self, plan_id: UUID) -> None:
        """The plan was deleted: its end is no longer kept for late viewers."""
        self._ended.pop(plan_id, None)
