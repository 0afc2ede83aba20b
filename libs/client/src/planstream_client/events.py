"""What a stream says, as the programs that use it see it."""

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Name = Literal["connected", "snapshot", "progress", "complete", "cancelled", "error"]
TERMINAL = frozenset({"complete", "cancelled", "error"})
KNOWN = frozenset({"connected", "snapshot", "progress", *TERMINAL})


class Progress(TypedDict):
    """How far a plan is; `percent` never falls, and is 100 only in `complete`."""

    phase: Literal["queued", "connecting", "streaming", "retrying", "validating"] | None
    weeksCompleted: int
    weeksTotal: int
    percent: float
    chars: int
    tokensPerSecond: float
    elapsedMs: int


class Failure(TypedDict):
    """Why a plan failed: a code of docs/protocol.md, a sentence for people, and whether another try may help."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a plan. `id` resumes after it; `connected` has none. `data` is as docs/protocol.md has it."""

    name: Name
    id: str | None
    data: dict[str, Any]

    @property
    def progress(self) -> Progress | None:
        """How far the plan is after this event, where it says so."""
        found: Progress | None = self.data.get("progress")
        return found

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self.name in TERMINAL
