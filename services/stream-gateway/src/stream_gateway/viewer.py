"""What waits to be sent to one viewer: a bounded buffer of frames that overflows into one snapshot.

A viewer that reads slowly never costs more than the bound: past it the waiting frames are dropped and the viewer is
*stale*, which means that the next thing it gets is the plan's state at that moment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from stream_gateway import metrics
from stream_gateway.cursor import Cursor
from stream_gateway.frame import Frame
from stream_gateway.wake import Wake

# Operations as they come, the same in RFC 6902 alone, or whole documents.
Mode = Literal["deltas", "patches", "snapshots"]
# Why a stream was closed; kept in `stream_sessions`. `disconnected`: the client closed it. `stalled`: the client took
# nothing for as long as it may, be it that it does not read or that it has vanished without a word. `refused`: too
# much of what it sent over a WebSocket was no good.
Reason = Literal["ended", "disconnected", "drain", "age", "token_expired", "stalled", "refused", "failed"]


class Source(Protocol):
    """The plan that is watched."""

    @property
    def at(self) -> Cursor | None:
        """The last event that was seen."""

    def snapshot(self) -> Frame | None:
        """The state, or None while there is none to trust."""


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """How much may wait for one viewer before it is conflated. One frame alone may be larger."""

    frames: int = 256
    size: int = 256 * 1024  # bytes


DEFAULT_LIMITS = BufferLimits()


class Viewer:
    """One who watches a plan. The channel puts frames in, a writer takes them out."""

    __slots__ = (
        "_frames", "_limits", "_size", "_source", "_stale", "_wake", "conflated", "cursor", "mode", "reason", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        source: Source,
        cursor: Cursor | None = None,
        mode: Mode = "deltas",
        limits: BufferLimits = DEFAULT_LIMITS,
        wake: Wake | None = None,
    ) -> None:
        """`wake` is set when there is something to take; several viewers may share one, and so one writer."""
        self.cursor = cursor
        self.mode = mode
        self.reason: Reason | None = None
        self.waiting = True  # it has not been told yet where it stands
        self.conflated = 0
        self._source = source
        self._limits = limits
        self._frames: list[Frame] = []
        self._size = 0
        self._stale = False
        self._wake = wake or Wake()

    def follow(self, *, stale: bool) -> None:
        """Begin: with the state as it will be when it is taken, or with whatever comes next."""
        self.waiting = False
        if stale:
            self._conflate()

    def put(self, frame: Frame) -> None:
        """The next frame of the plan."""
        if self.waiting or self.reason is not None:
            return
        if self._stale or self.mode == "snapshots":
            self._conflate()
            return
        waiting = len(self._frames)
        if waiting and (waiting >= self._limits.frames or self._size + frame.size > self._limits.size):
            self.conflated += 1
            metrics.CONFLATED.inc()
            self._conflate()
            return
        self._frames.append(frame)
        self._size += frame.size
        self._wake.set()

    def end(self, frame: Frame | None) -> None:
        """The plan's last frame, or None when the viewer holds it already; the stream closes after it.

        The terminal event carries the document, so a stale viewer needs no snapshot before it.
        """
        if self.reason is not None:
            return
        self.waiting = self._stale = False
        if frame is not None:
            self._frames.append(frame)
        self.close("ended")

    def close(self, reason: Reason) -> None:
        """Close the stream after what is waiting; the first reason stays."""
        if self.reason is None:
            self.reason = reason
            self._wake.set()

    def wake(self) -> None:
        """Let the writer look around, though nothing may be waiting."""
        self._wake.set()

    async def wait(self) -> None:
        """Return when there is something to do."""
        await self._wake.wait()

    def try_first(self, attempt: Callable[[], bool]) -> None:
        """As for `Wake.first`."""
        self._wake.first = attempt

    def take(self) -> list[Frame]:
        """Everything that waits, in order; the viewer stands where the plan stands after this."""
        if self._stale:
            state = self._source.snapshot()
            if state is None:  # the channel puts again when it has been mended
                return []
            self._stale = False
            taken = [state]
        elif self._frames:
            taken, self._frames = self._frames, []
            self._size = 0
        else:
            return []
        self.cursor = self._source.at
        return taken

    def _conflate(self) -> None:
        self._frames.clear()
        self._size = 0
        self._stale = True
        self._wake.set()
