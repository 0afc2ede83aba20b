"""From a planId and an identity to an open stream: the cap, the place in the hub, the record, and all of it undone."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from common import sse
from common.contracts.errors import ErrorCode
from common.contracts.events import Connected, Phase, PlanStatus
from common.problems import ApiError
from common.server import Draining
from stream_gateway.auth import Identity
from stream_gateway.cursor import Cursor
from stream_gateway.hub import Hub, Watch
from stream_gateway.journal import Journal
from stream_gateway.repository import SessionClosed, SessionOpened
from stream_gateway.stream_response import EventStream, StreamLimits
from stream_gateway.viewer import Mode

RETRY_AFTER_SECONDS = 5


class Place:
    """One of the streams that a user may have open, taken before anything is started. `free` is safe to call twice."""

    __slots__ = ("_open", "user_id")

    def __init__(self, user_id: UUID, taken: "Counter[UUID]") -> None:
        self.user_id = user_id
        self._open: Counter[UUID] | None = taken
        taken[user_id] += 1

    def free(self) -> None:
        """Give it back."""
        if self._open is None:
            return
        self._open[self.user_id] -= 1
        if not self._open[self.user_id]:
            del self._open[self.user_id]
        self._open = None


@dataclass(frozen=True, slots=True)
class Session:
    """A viewer's place, before and while its stream is open. `close` is safe to call twice."""

    watch: Watch
    identity: Identity
    close: Callable[[], None]


class Sessions:
    """Every open stream of this process passes here."""

    def __init__(self, hub: Hub, journal: Journal, limits: StreamLimits, per_user: int, draining: Draining) -> None:
        self._hub = hub
        self._journal = journal
        self._limits = limits
        self._per_user = per_user
        self._draining = draining
        self._open: Counter[UUID] = Counter()

    def __len__(self) -> int:
        return self._open.total()

    def take_place(self, user_id: UUID) -> Place:
        """Refuse before anything is started, and never after. Whoever takes must `free`, or `open` a session with it.

        Raises:
            ApiError: too_many_streams; unavailable while draining.
        """
        if self._draining:
            detail = "This server is going away. Connect again."
            raise ApiError(ErrorCode.UNAVAILABLE, detail, retry_after=1)
        if self._per_user and self._open[user_id] >= self._per_user:
            detail = f"You have {self._per_user} streams open, which is the limit. Close one first."
            raise ApiError(ErrorCode.TOO_MANY_STREAMS, detail, retry_after=RETRY_AFTER_SECONDS)
        return Place(user_id, self._open)

    def open(
        self, place: Place, plan_id: UUID, identity: Identity, cursor: Cursor | None = None, mode: Mode = "deltas"
    ) -> Session:
        """Begin to watch. Whoever opens must `close`, or hand the session to `stream`."""
        watch = self._hub.join(plan_id, cursor, mode)
        if self._draining:
            # It began after the place was taken, and has closed the others: this one ends after `connected`.
            watch.viewer.close("drain")
        record = SessionOpened(uuid4(), plan_id, identity.user_id, datetime.now(UTC))
        self._journal.put(record)
        closed = False

        def close() -> None:
            nonlocal closed
            if closed:
                return
            closed = True
            place.free()
            self._hub.leave(watch)
            last = None if watch.viewer.cursor is None else str(watch.viewer.cursor)
            self._journal.put(SessionClosed(record.id, datetime.now(UTC), last, watch.viewer.reason))

        return Session(watch, identity, close)

    def stream(self, session: Session, status: PlanStatus, phase: Phase | None) -> EventStream:
        """The response that begins with `connected`, and closes the session with the stream."""
        channel, expires_at = session.watch.channel, session.identity.expires_at
        connected = Connected(plan_id=channel.plan_id, status=status, phase=phase)
        data = connected.model_dump_json(by_alias=True, exclude={"event"}).encode()
        return EventStream(
            session.watch.viewer,
            sse.encode("connected", data),
            self._limits,
            session.close,
            expires_in=None if expires_at is None else expires_at - time.time(),
        )
