"""What the writer of a stream takes from: the bytes that wait, and why no more will come."""

from collections.abc import Callable
from typing import Protocol

from stream_gateway.frame import Frame
from stream_gateway.viewer import Reason, Viewer

SNAPSHOT_INTERVAL = 0.2  # at most five a second in the mode of whole documents


class Feed(Protocol):
    """One viewer's frames, or those of several."""

    @property
    def reason(self) -> Reason | None:
        """Why the stream closes after what is waiting; None: it does not."""

    @property
    def pause(self) -> float:
        """How long the writer leaves what comes alone after it has written something, in seconds."""

    def close(self, reason: Reason) -> None:
        """Close the stream after what is waiting; the first reason stays."""

    def wake(self) -> None:
        """Let the writer look around, though nothing may be waiting."""

    async def wait(self) -> None:
        """Return when there is something to do."""

    def try_first(self, attempt: Callable[[], bool]) -> None:
        """What is tried each time before `wait` returns, as for `Wake.first`."""

    def take(self) -> bytes:
        """Everything that waits, in one piece."""


class PlanFeed:
    """One plan, in one format."""

    def __init__(self, viewer: Viewer, encode: Callable[[Frame], bytes]) -> None:
        self._viewer = viewer
        self._encode = encode
        self.close, self.wake, self.wait, self.try_first = viewer.close, viewer.wake, viewer.wait, viewer.try_first
        self.pause = pause_of(viewer)

    @property
    def reason(self) -> Reason | None:
        """The viewer's."""
        return self._viewer.reason

    def take(self) -> bytes:
        """Viewers of one format are handed the same bytes."""
        frames, encode = self._viewer.take(), self._encode
        return frames[0].encoded(encode) if len(frames) == 1 else b"".join([frame.encoded(encode) for frame in frames])


def pause_of(viewer: Viewer) -> float:
    """Snapshots gather into the next one."""
    return SNAPSHOT_INTERVAL if viewer.mode == "snapshots" else 0.0
