"""What plan-api answers to a user; the gateway passes it on unread."""

from datetime import datetime
from typing import Any
from uuid import UUID

from common.contracts.base import Envelope
from common.contracts.errors import ErrorCode, PlanError
from common.contracts.events import PlanStatus, Progress, Usage
from common.contracts.inputs import Preferences
from common.contracts.messages import Mode


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
