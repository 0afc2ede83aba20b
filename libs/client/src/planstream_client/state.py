"""What a watched plan has come to, and what to do when its stream breaks. Pure: time and chance are given."""

import json
from typing import Any, cast

from planstream_client.errors import RefusedError, UnreachableError
from planstream_client.events import KNOWN, Event, Failure, Name, Progress
from planstream_client.fold import fold
from planstream_client.sse import Frame

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0


class PlanState:
    """Folded from events, wherever they came from.

    Attributes:
        plan_id: known from `connected` on.
        plan: the document as far as it is written; after the end it is the stored one.
        progress: the last that was said.
        status: generating, completed, partial or failed.
        error: `{code, message, retryable}` of a failed plan.
        last_id: where to resume.
    """

    def __init__(self, plan_id: str | None = None, last_id: str | None = None) -> None:
        self.plan_id = plan_id
        self.plan: Any = None
        self.progress: Progress | None = None
        self.status = "generating"
        self.phase: str | None = None
        self.error: Failure | None = None
        self.last_id = last_id
        self.ended = False

    @property
    def percent(self) -> float:
        """0 to 100."""
        return 0.0 if self.progress is None else float(self.progress["percent"])

    def take(self, frame: Frame) -> Event | None:
        """Take what came; None for what this version does not know."""
        if frame.name not in KNOWN:
            return None
        name, data = cast("Name", frame.name), json.loads(frame.data)
        event = Event(name, None if name == "connected" else frame.id, data)
        if name == "connected":
            self.plan_id = data["planId"]
            self.phase = data.get("phase")
        else:
            self.last_id = frame.id
            self.progress = event.progress or self.progress
            self.phase = None if event.progress is None else event.progress["phase"]
        if name == "progress":
            self.plan = fold(self.plan, data["ops"])
        elif "plan" in data:
            self.plan = data["plan"]
        self.status = data.get("status") or self.status
        if name == "error":
            self.error = Failure(code=data["code"], message=data["message"], retryable=data["retryable"])
        self.ended = event.terminal
        return event


class Patience:
    """How long to wait before the next connection: longer each time, and not with all others at once."""

    def __init__(self, tries: int) -> None:
        """Args: `tries` without a single event in between; then it is given up."""
        self._tries = tries
        self._failures = 0

    def progressed(self) -> None:
        """An event has come."""
        self._failures = 0

    def pause(self, why: Exception | None, least: float, chance: float) -> float:
        """Seconds until the next try.

        Args:
            why: what broke the connection; None: it was closed, as a server does that goes away.
            least: what the server asked for.
            chance: from 0 to 1.

        Raises:
            RefusedError: coming again would not help.
            UnreachableError: it was tried often enough.
        """
        if isinstance(why, RefusedError):
            if not why.passes:
                raise why
            least = max(least, why.retry_after or 0)
        self._failures += 1
        if self._failures > self._tries:
            raise UnreachableError(
                f"no answer after {self._tries} tries: {why or 'the stream closes at once'}"
            ) from why
        longest = min(FIRST_PAUSE * 2 ** (self._failures - 1), LONGEST_PAUSE)
        return float(max(least, longest * (0.5 + chance / 2)))
