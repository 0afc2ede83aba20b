"""HTTP between the services: plan-api's admission and the generator's view of a plan."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from common.contracts.base import Envelope, Request
from common.contracts.errors import ErrorCode
from common.contracts.events import Phase, PlanStatus, Progress, Usage
from common.contracts.inputs import Weeks
from common.contracts.messages import Charge, OnDisconnect
from common.ids import Uuid

USER_HEADER = "x-user-id"
IDEMPOTENCY_HEADER = "idempotency-key"

EndedAs = Literal["complete", "cancelled", "error"]


class StartRequest(Request):
    """The body of `POST /api/streaming/generate-plan`."""

    preference_id: Uuid
    user_id: Uuid | None = None
    on_disconnect: OnDisconnect | None = Field(
        default=None, description="abort: stop when every viewer has left; continue: write on. Default by kind of start"
    )


class AdmissionRequest(StartRequest):
    """The body of plan-api's `POST /internal/generations`: the client's own, and what its kind of start implies.

    Apart from the client's body, so that an idempotent repeat may ask for the other kind of answer. The gateway has
    refused what a client may not say; what a later gateway says beside is skipped.
    """

    model_config = ConfigDict(extra="ignore")

    on_disconnect_default: OnDisconnect = "abort"
    watched: bool = Field(default=False, description="the answer to the client is the plan's stream")


class SyncRequest(Request):
    """The body of `POST /service/generate` and `POST /api/plan/generate`."""

    preference_id: Uuid
    user_id: Uuid | None = None


class Admitted(Envelope):
    """plan-api's answer to a start: the plan is accepted, and nothing refuses any more."""

    plan_id: UUID
    status: PlanStatus = "generating"
    replayed: bool = Field(default=False, description="an earlier request with the same Idempotency-Key made it")


class Generation(Envelope):
    """What plan-api knows of a plan: whose it is, and how it stands."""

    plan_id: UUID
    user_id: UUID
    preference_id: UUID
    status: PlanStatus
    weeks: int
    created_at: datetime


class GenerationResult(Envelope):
    """The answer of the synchronous call."""

    plan_id: UUID
    status: PlanStatus
    plan: dict[str, Any]
    usage: Usage | None = None


class PlanView(Envelope):
    """The generator's stored row: the truth about a plan at (attempt, seq)."""

    plan_id: UUID
    user_id: UUID
    status: PlanStatus
    ended_as: EndedAs | None = Field(default=None, description="the terminal event; null while generating")
    phase: Phase | None = None
    attempt: int
    seq: int
    plan: Any = None
    progress: Progress
    usage: Usage | None = None
    code: ErrorCode | None = None
    charge: Charge | None = None
    lease_expired: bool = Field(default=False, description="generating, but no generator is at it")
    updated_at: datetime


class CancelRequest(Envelope):
    """The body of `POST /internal/plans/{planId}/cancel`: what the end of a plan that has no row yet is made of."""

    user_id: Uuid
    code: ErrorCode | None = Field(default=None, description="why the service gives it up; null: the user's cancel")
    weeks: Weeks | None = Field(default=None, description="how many the plan would have had; null: not known")


class PlanQuery(Envelope):
    """The body of `POST /internal/plans/query`."""

    plan_ids: Annotated[list[Uuid], Field(min_length=1, max_length=500)]
    watched: bool = Field(default=False, description="the asker has viewers of these plans")
    brief: bool = Field(default=False, description="leave the documents out")


class PlanQueryResult(Envelope):
    """The rows found; a plan that no generator has claimed is missing here."""

    plans: list[PlanView]
