"""What waits to be sent to one viewer: a bounded buffer of frames that overflows into one snapshot.

A viewer that reads slowly never costs more than the bound: past it the waiting frames are dropped and the viewer is
*stale*, which means that the next thing it gets is the plan's state at that moment.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol

from stream_gateway.cursor import Cursor

Mode = Literal["deltas", "snapshots"]
# Why a stream was closed; kept in `stream_sessions`. `disconnected`: the client closed it. `stalled`: the client took
# nothing for as long as it may, be it that it does not read or that it has vanished without a word.
Reason = Literal["ended", "disconnected", "drain", "age", "token_expired", "stalled", "failed"]


class Source(Protocol):
    """The plan that is watched."""

    @property
    def at(self) -> Cursor | None:
        """The last event that was seen."""

    def snapshot(self) -> bytes | None:
        """The state as a frame, or None while there is none to trust."""


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """How much may wait for one viewer before it is conflated. One frame alone may be larger."""

    frames: int = 256
    size: int = 256 * 1024  # bytes


DEFAULT_LIMITS = BufferLimits()


class Viewer:
    """One open stream. The channel puts frames in, the response takes them out."""

    __slots__ = (
        "_frames", "_limits", "_size", "_source", "_stale", "_wake", "conflated", "cursor", "mode", "reason", "waiting",
    )  # fmt: skip

    def __init__(
        self, source: Source, cursor: Cursor | None = None, mode: Mode = "deltas", limits: BufferLimits = DEFAULT_LIMITS
    ) -> None:
        self.cursor = cursor
        self.mode = mode
        self.reason: Reason | None = None
        self.waiting = True  # it has not been told yet where it stands
        self.conflated = 0
        self._source = source
        self._limits = limits
        self._frames: list[bytes] = []
        self._size = 0
        self._stale = False
        self._wake = asyncio.Event()

    def follow(self, *, stale: bool) -> None:
        """Begin: with the state as it will be when it is taken, or with whatever comes next."""
        self.waiting = False
        if stale:
            self._conflate()

    def put(self, frame: bytes) -> None:
        """The next frame of the plan."""
        if self.waiting or self.reason is not None:
            return
        if self._stale or self.mode == "snapshots":
            self._conflate()
            return
        waiting = len(self._frames)
        if waiting and (waiting >= self._limits.frames or self._size + len(frame) > self._limits.size):
            self.conflated += 1
            self._conflate()
            return
        self._frames.append(frame)
        self._size += len(frame)
        self._wake.set()

    def end(self, frame: bytes | None) -> None:
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
        """Let the response look around, though nothing may be waiting."""
        self._wake.set()

    async def wait(self) -> None:
        """Return when there is something to do."""
        await self._wake.wait()
        self._wake.clear()

    def take(self) -> bytes:
        """Everything that waits, in one piece; the viewer stands where the plan stands after this."""
        if self._stale:
            taken = self._source.snapshot()
            if taken is None:  # the channel puts again when it has been mended
                return b""
            self._stale = False
        elif self._frames:
            taken = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
            self._frames.clear()
            self._size = 0
        else:
            return b""
        self.cursor = self._source.at
        return taken

    def _conflate(self) -> None:
        self._frames.clear()
        self._size = 0
        self._stale = True
        self._wake.set()
