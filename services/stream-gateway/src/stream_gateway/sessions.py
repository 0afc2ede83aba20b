"""From an identity to an open stream: the cap, the places in the hub, the records, and all of it undone."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from common.server import Draining
from common.tasks import end
from stream_gateway import metrics
from stream_gateway.auth import Identity
from stream_gateway.cursor import Cursor
from stream_gateway.feed import Feed
from stream_gateway.formats import PLAIN, Format
from stream_gateway.hub import Hub, Watch
from stream_gateway.journal import Journal
from stream_gateway.repository import SessionClosed, SessionOpened
from stream_gateway.stream_response import EventStream, StreamLimits
from stream_gateway.viewer import Mode, Reason
from stream_gateway.wake import Wake

RETRY_AFTER_SECONDS = 5
DRAIN_SECONDS = 2.0


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


class Session:
    """One open stream or socket: it takes one place of its user's, and has a viewer in each plan that it watches."""

    def __init__(
        self, place: Place, identity: Identity, hub: Hub, journal: Journal, on_close: Callable[["Session"], None]
    ) -> None:
        self.identity = identity
        self.reason: Reason | None = None
        self.wake = Wake()  # something has come for one of the viewers
        self._place = place
        self._hub = hub
        self._journal = journal
        self._on_close = on_close
        self._records: dict[Watch, UUID] = {}

    def join(self, plan_id: UUID, cursor: Cursor | None = None, mode: Mode = "deltas") -> Watch:
        """Begin to watch a plan."""
        watch = self._hub.join(plan_id, cursor, mode, self.wake)
        record = SessionOpened(uuid4(), plan_id, self.identity.user_id, datetime.now(UTC))
        self._records[watch] = record.id
        self._journal.put(record)
        if self.reason is not None:
            watch.viewer.close(self.reason)
        return watch

    def leave(self, watch: Watch) -> None:
        """Watch a plan no more; safe to call twice."""
        record_id = self._records.pop(watch, None)
        if record_id is None:
            return
        self._hub.leave(watch)
        metrics.VIEWERS_ENDED.labels(watch.viewer.reason or "failed").inc()
        last = None if watch.viewer.cursor is None else str(watch.viewer.cursor)
        self._journal.put(SessionClosed(record_id, datetime.now(UTC), last, watch.viewer.reason))

    def stop(self, reason: Reason) -> None:
        """Let its writer close it after what is waiting; the first reason stays."""
        if self.reason is None:
            self.reason = reason
            for watch in self._records:
                watch.viewer.close(reason)
            self.wake.set()

    def close(self) -> None:
        """Leave every plan, and give the place back; safe to call twice."""
        self._place.free()
        for watch in tuple(self._records):
            self.leave(watch)
        self._on_close(self)


class Sessions:
    """Every open stream and socket of this process passes here."""

    def __init__(self, hub: Hub, journal: Journal, limits: StreamLimits, per_user: int, draining: Draining) -> None:
        self.limits = limits
        self._hub = hub
        self._journal = journal
        self._per_user = per_user
        self._draining = draining
        self._taken: Counter[UUID] = Counter()
        self._open: set[Session] = set()

    def __len__(self) -> int:
        return self._taken.total()

    def take_place(self, user_id: UUID) -> Place:
        """Refuse before anything is started, and never after. Whoever takes must `free`, or `open` a session with it.

        Raises:
            ApiError: too_many_streams; unavailable while draining.
        """
        if self._draining:
            detail = "This server is going away. Connect again."
            raise ApiError(ErrorCode.UNAVAILABLE, detail, retry_after=1)
        if self._per_user and self._taken[user_id] >= self._per_user:
            detail = f"You have {self._per_user} streams open, which is the limit. Close one first."
            raise ApiError(ErrorCode.TOO_MANY_STREAMS, detail, retry_after=RETRY_AFTER_SECONDS)
        return Place(user_id, self._taken)

    def open(self, place: Place, identity: Identity) -> Session:
        """Begin a session. Whoever opens must `close`, or hand it to `stream`."""
        session = Session(place, identity, self._hub, self._journal, self._open.discard)
        self._open.add(session)
        if self._draining:
            # It began after the place was taken, and has closed the others: this one ends after its first words.
            session.stop("drain")
        return session

    def stream(self, session: Session, feed: Feed, opening: bytes, how: Format = PLAIN) -> EventStream:
        """The response that begins with `opening`, and closes the session with the stream."""
        left = seconds_left(session.identity)
        return EventStream(feed, opening, self.limits, session.close, expires_in=left, headers=how.headers)

    def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Close every session, spread over the window, so that the viewers do not all come back at once elsewhere."""
        loop = asyncio.get_running_loop()
        for session in self._open:
            loop.call_later(random.uniform(0, seconds), session.stop, "drain")  # noqa: S311 - jitter


def seconds_left(identity: Identity) -> float | None:
    """Until the proof of who is watching ends; None: it does not."""
    return None if identity.expires_at is None else identity.expires_at - time.time()


@asynccontextmanager
async def close_streams_on(draining: Draining, sessions: Sessions) -> AsyncIterator[None]:
    """Close the streams when the drain begins: the server itself would wait for them without a word."""

    async def wait() -> None:
        await draining.wait()
        sessions.drain()

    task = asyncio.create_task(wait(), name="drain")
    try:
        yield
    finally:
        await end(task)
