"""One watched plan: its state, folded from whatever arrives, and the fan-out to its viewers. No I/O.

Runs in NATS callbacks: no await, no task and no log line an event.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final, Literal, assert_never
from uuid import UUID

import structlog

from common import fold
from common.contracts.events import Phase, PlanStatus
from common.contracts.ops import Op
from stream_gateway import metrics, plan_event, standard_patch
from stream_gateway.cursor import Cursor
from stream_gateway.frame import Frame
from stream_gateway.plan_event import MalformedEventError, PlanEvent
from stream_gateway.splice import Ended, Fresh, Live, Position, Torn, resume, splice
from stream_gateway.viewer import Viewer

_log = structlog.get_logger(__name__)

# What may be held back while a snapshot is on its way; past it the oldest goes, which is one more gap to mend.
HELD_EVENTS = 512
# In seconds. A row is written behind what its owner has published. Of a later attempt than it says, it knows in a
# moment, or the viewer's cursor is from nowhere. Within the attempt a viewer may have seen more than an owner that has
# died could store: the next owner's snapshot takes it on, when the lease has run out and the job has come again.
ROW_AGE_SECONDS = 2.0
TAKEOVER_SECONDS = 20.0

# Where a document stands in the state that a viewer of patches holds.
PATCHED_AT: Final = "/plan"

# What was heard about a plan that has shown no event yet: nothing, that no generator knows it, that one has taken it
# over and not begun, or that nobody answered.
Answer = Literal["none", "unknown", "claimed", "unanswered"]


class Channel:
    """The state of one plan and everybody here who watches it."""

    def __init__(self, plan_id: UUID, on_gap: Callable[["Channel"], None], clock: Callable[[], float]) -> None:
        self.plan_id = plan_id
        self.viewers: set[Viewer] = set()
        self.position: Position = Fresh()
        self.answer: Answer = "none"
        self.answered = asyncio.Event()  # the first word about the plan is there, whatever it was
        self.advanced_at = clock()
        self.malformed = 0
        self._id = str(plan_id)
        self._on_gap = on_gap
        self._clock = clock
        self._document: Any = None
        self._progress: dict[str, Any] = {}
        self._soonest = inf
        self._terminal: PlanEvent | None = None
        self._last_frame = Frame("connected", b"{}")
        self._snapshot: Frame | None = None
        self._patched = 0  # viewers of patches
        self._held: deque[PlanEvent] = deque(maxlen=HELD_EVENTS)
        # Viewers whose cursor is beyond what we know, and since when they wait for us to come there.
        self._ahead: dict[Viewer, float] = {}

    @property
    def at(self) -> Cursor | None:
        """The last event that was seen."""
        return None if isinstance(self.position, Fresh) else self.position.at

    @property
    def ended(self) -> bool:
        """Whether the terminal event is held."""
        return self._terminal is not None

    @property
    def outrun(self) -> bool:
        """Whether a viewer says that it has seen more than we have."""
        return bool(self._ahead)

    @property
    def gapped(self) -> bool:
        """Whether something is missing that has to be asked for."""
        return bool(self._held) or self.outrun or isinstance(self.position, Torn)

    @property
    def status(self) -> PlanStatus:
        """The plan's status, as far as it is known here."""
        return "generating" if self._terminal is None else self._terminal.members["status"]

    @property
    def phase(self) -> Phase | None:
        """What the plan is doing; None when it has ended, or when nobody could say."""
        if self._terminal is not None:
            return None
        if isinstance(self.position, Fresh):
            return "queued" if self.answer == "unknown" else None
        phase: Phase | None = self._progress.get("phase")
        return phase

    def receive(self, raw: bytes) -> bool:
        """Take what came over NATS; False when it was no good."""
        try:
            event = plan_event.read_event(raw, self._id)
        except MalformedEventError as error:
            self.malformed += 1
            if self.malformed == 1:
                _log.error("event.malformed", plan_id=self._id, error=str(error))
            self._on_gap(self)
            return False
        if event is not None:
            self.take(event)
        return event is not None

    def take(self, event: PlanEvent) -> None:
        """Splice an event into the line, and then those that waited for it."""
        self._decide(event)
        while self._held and splice(self.position, self._held[0].kind, self._held[0].at) != "ask":
            self._decide(self._held.popleft())

    def _decide(self, event: PlanEvent) -> None:
        match splice(self.position, event.kind, event.at):
            case "apply":
                self._apply(event)
            case "replace":
                self._replace(event)
            case "end":
                self._end(event)
            case "ask":
                self._held.append(event)
                self._on_gap(self)
            case "drop":
                pass
            case never:
                assert_never(never)

    def _apply(self, event: PlanEvent) -> None:
        try:
            patch = self._fold(event.members["ops"])
        except (fold.FoldError, KeyError, TypeError) as error:
            _log.error("event.does_not_fit", plan_id=self._id, at=str(event.at), error=repr(error))
            assert isinstance(self.position, Live)
            self.position = Torn(self.position.at)
            self._on_gap(self)
            return
        self._move(event, Live(event.at), patch)
        self._broadcast()
        self._measure()

    def _fold(self, ops: list[Op]) -> tuple[bytes, ...] | None:
        if not self._patched:
            self._document = fold.apply(self._document, ops)
            return None
        self._document, patch = standard_patch.fold_and_translate(self._document, ops, PATCHED_AT)
        return patch

    def _replace(self, event: PlanEvent) -> None:
        self._document = event.members["plan"]
        self._move(event, Live(event.at))
        self._snapshot = self._last_frame
        self._broadcast()

    def _end(self, event: PlanEvent) -> None:
        self._held.clear()
        self._terminal = event
        self._document = self._snapshot = None
        self._move(event, Ended(event.at))
        for viewer in self.viewers:
            self._tell(viewer)

    def _move(self, event: PlanEvent, to: Live | Ended, patch: tuple[bytes, ...] | None = None) -> None:
        self.position = to
        self._progress = event.members.get("progress") or {}
        self._last_frame = event.frame(patch)
        self.advanced_at = self._clock()
        self.answered.set()

    def _measure(self) -> None:
        """How much later than the soonest event of this plan this one was written; an owner says when it made it."""
        elapsed = self._progress.get("elapsedMs")
        if isinstance(elapsed, int):
            late = self._clock() - elapsed / 1000
            self._soonest = min(self._soonest, late)
            metrics.EVENT_LAG.observe(late - self._soonest)

    def _broadcast(self) -> None:
        frame = self._last_frame
        for viewer in self.viewers:
            if viewer.waiting:
                self._tell(viewer)
            else:
                viewer.put(frame)

    def add(self, viewer: Viewer) -> None:
        """A viewer has come; it hears at once what we know."""
        self.viewers.add(viewer)
        self._patched += viewer.mode == "patches"
        self._tell(viewer)

    def remove(self, viewer: Viewer) -> None:
        """A viewer has gone."""
        if viewer in self.viewers:
            self.viewers.remove(viewer)
            self._patched -= viewer.mode == "patches"
        self._ahead.pop(viewer, None)

    def _tell(self, viewer: Viewer) -> None:
        owed = resume(self.position, viewer.cursor if viewer.waiting else None)
        if owed == "ahead":
            self._ahead.setdefault(viewer, self._clock())
            self._on_gap(self)
            return
        self._ahead.pop(viewer, None)
        match owed:
            case "continue":
                viewer.follow(stale=False)
            case "snapshot":
                viewer.follow(stale=True)
            case "terminal":
                viewer.end(self._last_frame)
            case "nothing":
                viewer.end(None)
            case "wait":
                pass
            case never:
                assert_never(never)

    def be_sure(self, asked_at: float, *, of_owner: bool) -> None:
        """What was asked at that time has been answered: who was ahead of it then gets the state all the same.

        The owner knows what it has published in its own attempt. A row may be older than what a viewer has seen.
        """
        if not isinstance(self.position, Live):
            return
        attempt = self.position.at.attempt
        for viewer, since in tuple(self._ahead.items()):
            assert viewer.cursor is not None
            own = viewer.cursor.attempt == attempt
            age = (0.0 if of_owner else TAKEOVER_SECONDS) if own else ROW_AGE_SECONDS
            if since <= asked_at - age:
                del self._ahead[viewer]
                viewer.follow(stale=True)

    def holds_end(self, cursor: Cursor | None) -> bool:
        """Whether a viewer with this cursor has had the terminal event."""
        return resume(self.position, cursor) == "nothing"

    def snapshot(self) -> Frame | None:
        """The state, made once for each (attempt, seq); None while there is none to trust."""
        if not isinstance(self.position, Live):
            return None
        at = self.position.at
        if self._snapshot is None or self._snapshot.at != at:
            self._snapshot = plan_event.snapshot_frame(self.plan_id, at, self._document, self._progress)
        return self._snapshot

    def say(self, answer: Answer) -> None:
        """What was heard instead of an event."""
        self.answer = answer
        self.answered.set()

    def __iter__(self) -> Iterator[Viewer]:
        return iter(tuple(self.viewers))
