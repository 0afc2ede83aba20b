"""Which plan, which attempt, and how it stands in the database: the values that the parts of the generator exchange."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from common.contracts.errors import ErrorCode
from common.contracts.internal import PlanView
from common.contracts.messages import Charge
from common.payloads import End
from generator.openrouter import UpstreamCall


@dataclass(frozen=True, slots=True)
class Claim:
    """A plan that this process may write: the fencing token is (attempt, owner).

    Attributes:
        watched: a gateway has said that it has viewers, in this attempt or an earlier one.
        calls: those of earlier attempts, as far as their owners could still record them.
    """

    plan_id: UUID
    attempt: int
    partial: Any
    percent: float
    elapsed_ms: int
    watched: bool = False
    calls: tuple[UpstreamCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The plan is not ours to write: it has ended (or is deleted), or another's lease has `wait` seconds to run."""

    view: PlanView
    wait: float


@dataclass(frozen=True, slots=True)
class Saved:
    """One row of the batch save; `partial` is None when it has not changed, empty when there is none."""

    plan_id: UUID
    attempt: int
    seq: int
    partial: str | None
    progress: dict[str, object]


@dataclass(frozen=True, slots=True)
class Ending:
    """An outcome before it is stored, and what becomes of the quota reservation."""

    end: End
    charge: Charge


def completed(document: Any) -> Ending:
    """The plan is whole and valid: it is charged."""
    return Ending(End("completed", "complete", None, document), "used")


def cancelled(document: Any) -> Ending:
    """The user stopped it: charged when there is content, which is kept."""
    if document is None:
        return Ending(End("failed", "cancelled", None, None), "released")
    return Ending(End("partial", "cancelled", None, document), "used")


def failed(code: ErrorCode, document: Any) -> Ending:
    """It ended otherwise: only a disconnect after content is the user's doing."""
    used = code is ErrorCode.CLIENT_DISCONNECTED and document is not None
    return Ending(End("failed", "error", code, document), "used" if used else "released")
