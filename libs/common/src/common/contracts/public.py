"""What a client is answered: plan-api's answers, which the gateway passes on unread, and the gateway's own."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from common.contracts.base import Envelope, Request
from common.contracts.errors import ErrorCode, PlanError
from common.contracts.events import Phase, PlanStatus, Progress, TerminalStatus, Usage
from common.contracts.inputs import Preferences
from common.contracts.messages import Mode, OnDisconnect
from common.ids import Uuid

MAX_BATCH = 20


class PreferenceCreated(Envelope):
    """The answer to `POST /api/plan/inputs`."""

    preference_id: UUID


class StoredInputs(Preferences, Envelope):
    """Inputs as they were sent, with the defaults filled in."""

    preference_id: UUID
    user_id: UUID
    created_at: datetime


class QuotaView(Envelope):
    """The user's month. `limit` and `remaining` are null when there is no limit."""

    limit: int | None
    used: int
    reserved: int
    remaining: int | None
    resets_at: datetime


class PlanSummary(Envelope):
    """One line of the user's list."""

    plan_id: UUID
    preference_id: UUID
    status: PlanStatus
    mode: Mode
    weeks: int
    created_at: datetime
    ended_at: datetime | None
    code: ErrorCode | None


class PlanPage(Envelope):
    """Newest first; `next_cursor` is null on the last page."""

    plans: list[PlanSummary]
    next_cursor: str | None


class PlanDetail(Envelope):
    """One plan with its content, whole or partial."""

    plan_id: UUID
    preference_id: UUID
    user_id: UUID
    status: PlanStatus
    plan: Any
    progress: Progress | None
    usage: Usage | None
    error: PlanError | None
    created_at: datetime
    ended_at: datetime | None


class StatusReply(Envelope):
    """The answer of `GET /api/streaming/status/{planId}`."""

    plan_id: UUID
    status: PlanStatus
    phase: Phase | None = Field(description="live only")
    progress: Progress
    seq: int
    attempt: int
    error: PlanError | None = None


class Started(Envelope):
    """The answer of `POST /api/streaming/generate-plan` for `Accept: application/json`."""

    plan_id: UUID
    events_url: str
    status_url: str


class CancelReply(Envelope):
    """The answer of a cancellation: the final status, or `cancelling` when it was not confirmed in time."""

    plan_id: UUID
    status: TerminalStatus | Literal["cancelling"]


class BatchRequest(Request):
    """The body of `POST /api/streaming/batches`."""

    preference_ids: Annotated[
        list[Uuid], Field(min_length=1, max_length=MAX_BATCH, description="each once: one plan for each")
    ]
    user_id: Uuid | None = None
    on_disconnect: OnDisconnect = "continue"

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.preference_ids)) != len(self.preference_ids):
            raise ValueError("preferenceIds must hold each id once: every entry is a plan of its own")
        return self


class BatchRefusal(Envelope):
    """Why one plan of a batch was not accepted; `code` and `detail` as in a problem document."""

    code: ErrorCode
    detail: str


class BatchItem(Envelope):
    """What became of one preferenceId: a plan, or an error."""

    preference_id: UUID
    plan_id: UUID | None = None
    error: BatchRefusal | None = None


class Batch(Envelope):
    """A batch as it was admitted, in the order of the request. Between the services it also says whose it is."""

    batch_id: UUID
    user_id: UUID
    items: list[BatchItem]

    @property
    def plan_ids(self) -> list[UUID]:
        """The plans that were accepted."""
        return [item.plan_id for item in self.items if item.plan_id is not None]


class BatchPlan(BatchItem):
    """One line of the answer to a client."""

    events_url: str | None = None
    status_url: str | None = None


class BatchStarted(Envelope):
    """The answer of `POST /api/streaming/batches`."""

    batch_id: UUID
    events_url: str
    plans: list[BatchPlan]


class PlanOutcome(Envelope):
    """How one plan of a batch stands: its status, `cancelling` when that was not confirmed in time, or `deleted`."""

    plan_id: UUID
    status: PlanStatus | Literal["cancelling", "deleted"]


class BatchOutcome(Envelope):
    """The data of `batch_complete`, and the answer of the cancellation of a batch; in the order of the batch."""

    batch_id: UUID
    plans: list[PlanOutcome]
