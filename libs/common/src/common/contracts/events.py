"""The stream protocol, version 1: what a viewer receives, and what a generator publishes.

A generator publishes `snapshot`, `progress` and the terminal events on `plan.events.<planId>` as one JSON object
whose first member is `event`; the gateway cuts that member off and writes the rest as the `data` of the SSE event.
"""

from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import Field

from common.contracts.base import Envelope
from common.contracts.errors import ErrorCode
from common.contracts.ops import Op

PlanStatus = Literal["generating", "partial", "completed", "failed"]
TerminalStatus = Literal["partial", "completed", "failed"]
Phase = Literal["queued", "connecting", "streaming", "retrying", "validating"]
TERMINAL_EVENTS: Final = frozenset({"complete", "cancelled", "error"})
TERMINAL_STATUSES: Final = frozenset({"partial", "completed", "failed"})


class Progress(Envelope):
    """How far a plan is. `percent` never falls, also across attempts, and is 100 only in `complete`."""

    phase: Phase | None = Field(description="live only; null once the plan has ended")
    weeks_completed: Annotated[int, Field(ge=0)]
    weeks_total: Annotated[int, Field(ge=1)]
    percent: Annotated[float, Field(ge=0, le=100)]
    chars: Annotated[int, Field(ge=0, description="characters of JSON received")]
    tokens_per_second: Annotated[float, Field(ge=0)]
    elapsed_ms: Annotated[int, Field(ge=0)]

    @classmethod
    def queued(cls, weeks_total: int) -> Self:
        """The progress of a plan that no generator has claimed."""
        return cls(
            phase="queued",
            weeks_completed=0,
            weeks_total=weeks_total,
            percent=0,
            chars=0,
            tokens_per_second=0,
            elapsed_ms=0,
        )


class Usage(Envelope):
    """What the upstream calls of a plan cost together."""

    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost: Annotated[float, Field(description="credits charged by OpenRouter, USD")] = 0.0
    source: Annotated[
        Literal["provider", "estimated"], Field(description="whether the provider said it or we counted")
    ] = "provider"


class Connected(Envelope):
    """First, always; carries no id."""

    event: Literal["connected"] = "connected"
    plan_id: UUID
    status: PlanStatus
    phase: Phase | None = None


class Numbered(Envelope):
    """An event with an id: `<attempt>.<seq>`."""

    plan_id: UUID
    attempt: Annotated[int, Field(ge=0)]
    seq: Annotated[int, Field(ge=0)]


class Snapshot(Numbered):
    """The state after event seq; replaces what the viewer holds."""

    event: Literal["snapshot"] = "snapshot"
    plan: Any = Field(description="the partial document, null before the first content")
    progress: Progress


class ProgressEvent(Numbered):
    """Operations to apply; seq is the viewer's last + 1 in the same attempt."""

    event: Literal["progress"] = "progress"
    ops: list[Op]
    progress: Progress


class Complete(Numbered):
    """The plan is stored and complete."""

    event: Literal["complete"] = "complete"
    status: Literal["completed"] = "completed"
    plan: dict[str, Any]
    usage: Usage
    progress: Progress


class Cancelled(Numbered):
    """The user stopped it: `partial` with content kept, else `failed`."""

    event: Literal["cancelled"] = "cancelled"
    status: Literal["partial", "failed"]
    plan: Any = None


class Failed(Numbered):
    """It ended without the user's doing."""

    event: Literal["error"] = "error"
    status: Literal["failed"] = "failed"
    code: ErrorCode
    message: str
    retryable: bool
    plan: Any = None


StreamEvent = Annotated[
    Connected | Snapshot | ProgressEvent | Complete | Cancelled | Failed, Field(discriminator="event")
]
