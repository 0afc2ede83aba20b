"""The plans of a batch as one stream."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from common import sse
from common.contracts.public import BatchOutcome, PlanOutcome
from stream_gateway.cursor import Vector
from stream_gateway.feed import pause_of
from stream_gateway.frame import Frame, as_sse
from stream_gateway.hub import Watch
from stream_gateway.viewer import Reason
from stream_gateway.wake import Wake


@dataclass(frozen=True, slots=True)
class Member:
    """One plan of the batch; `watch` is None when it was deleted."""

    plan_id: UUID
    watch: Watch | None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it. What its viewer still holds is another matter."""
        return self.watch is None or self.watch.viewer.reason == "ended"

    @property
    def outcome(self) -> PlanOutcome:
        """How it stands."""
        return PlanOutcome(plan_id=self.plan_id, status="deleted" if self.watch is None else self.watch.channel.status)


class BatchFeed:
    """A group of viewers that share one wake. Each keeps its own bound, and conflates by itself."""

    def __init__(self, batch_id: UUID, members: Sequence[Member], vector: Vector, wake: Wake) -> None:
        """`vector`: where the client stands; it is moved on with every event."""
        self._batch_id = batch_id
        self._members = members
        self._watches = [member.watch for member in members if member.watch is not None]
        self._vector = vector
        self._wake = wake
        self._closed: Reason | None = None
        self.pause = max((pause_of(watch.viewer) for watch in self._watches), default=0.0)
        wake.set()

    @property
    def reason(self) -> Reason | None:
        """That of the first member which was closed before its plan's end, or the batch's own."""
        closed = (watch.viewer.reason for watch in self._watches)
        return self._closed or next((reason for reason in closed if reason not in (None, "ended")), None)

    def close(self, reason: Reason) -> None:
        """Close all of them."""
        self._closed = self._closed or reason
        for watch in self._watches:
            watch.viewer.close(reason)
        self._wake.set()

    def wake(self) -> None:
        """Let the writer look around."""
        self._wake.set()

    async def wait(self) -> None:
        """Return when there is something to do."""
        await self._wake.wait()

    def try_first(self, attempt: Callable[[], bool]) -> None:
        """As for `Wake.first`."""
        self._wake.first = attempt

    def take(self) -> bytes:
        """What waits of every plan, each event with where all stand after it; at last, the batch's own end."""
        taken = []
        for index, member in enumerate(self._members):
            for frame in () if member.watch is None else member.watch.viewer.take():
                self._vector.cursors[index] = frame.at
                self._vector.ended = False
                taken.append(self._placed(frame))
        if self._closed is None and all(member.ended for member in self._members):
            if not self._vector.ended:
                self._vector.ended = True
                taken.append(self._complete())
            self.close("ended")
        return b"".join(taken)

    def _placed(self, frame: Frame) -> bytes:
        """The event as on a stream of its own, but for its first line, which is its id."""
        event = frame.encoded(as_sse)
        return b"id: %b%b" % (str(self._vector).encode(), event[event.index(b"\n") :])

    def _complete(self) -> bytes:
        outcome = BatchOutcome(batch_id=self._batch_id, plans=[member.outcome for member in self._members])
        return sse.encode("batch_complete", outcome.to_json(), str(self._vector))
