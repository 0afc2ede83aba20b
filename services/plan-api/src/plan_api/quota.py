"""The quota decision. Pure: values in, values out."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

Refusal = Literal["quota_exceeded", "too_many_running"]


@dataclass(frozen=True, slots=True)
class Account:
    """A user's month: plans used, plans reserved, and the user's own limit (None: the default)."""

    used: int
    reserved: int
    plan_limit: int | None


@dataclass(frozen=True, slots=True)
class Policy:
    """The service's limits; 0 means none."""

    plans_per_month: int
    max_running: int


def effective_limit(account: Account, policy: Policy) -> int | None:
    """Plans the user may have in the period, or None for no limit. A user's own limit of 0 allows none."""
    if account.plan_limit is not None:
        return account.plan_limit
    return policy.plans_per_month or None


def remaining(account: Account, policy: Policy) -> int | None:
    """Plans the user may still start in the period, or None for no limit."""
    limit = effective_limit(account, policy)
    return None if limit is None else max(0, limit - account.used - account.reserved)


def refusal(account: Account, running: int, policy: Policy) -> Refusal | None:
    """Why one more plan is refused, or None when it is allowed.

    Args:
        account: as it stands under its row lock.
        running: plans of the user that have not ended, of any period.
        policy: the service's limits.
    """
    if policy.max_running and running >= policy.max_running:
        return "too_many_running"
    return "quota_exceeded" if remaining(account, policy) == 0 else None


def period_of(moment: datetime) -> date:
    """The period that a moment belongs to: the first of its month, UTC."""
    return moment.astimezone(UTC).date().replace(day=1)


def resets_at(period: date) -> datetime:
    """When the next period begins, UTC."""
    year, month = (period.year + 1, 1) if period.month == 12 else (period.year, period.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)
