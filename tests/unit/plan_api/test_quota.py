"""The quota decision."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan_api.quota import Account, Policy, effective_limit, period_of, refusal, remaining, resets_at

counts = st.integers(0, 50)
limits = st.none() | counts


@given(used=counts, reserved=counts, plan_limit=limits, default=counts, running=counts, cap=counts)
def test_a_plan_is_admitted_only_within_both_limits(
    used: int, reserved: int, plan_limit: int | None, default: int, running: int, cap: int
) -> None:
    """Never beyond the cap, never beyond the limit, and never refused without a reason."""
    account, policy = Account(used, reserved, plan_limit), Policy(default, cap)
    limit = effective_limit(account, policy)
    over_cap = cap != 0 and running >= cap
    over_quota = limit is not None and used + reserved >= limit
    assert (refusal(account, running, policy) is None) == (not over_cap and not over_quota)
    assert (remaining(account, policy) == 0) == over_quota


@pytest.mark.parametrize(
    ("plan_limit", "default", "limit"), [(None, 30, 30), (None, 0, None), (5, 30, 5), (5, 0, 5), (0, 30, 0)]
)
def test_a_user_s_own_limit_counts_first(plan_limit: int | None, default: int, limit: int | None) -> None:
    """A default of 0 is no limit; a user's limit of 0 allows none."""
    assert effective_limit(Account(0, 0, plan_limit), Policy(default, 0)) == limit


def test_what_is_left_is_never_negative() -> None:
    """A limit lowered below what is used leaves nothing."""
    assert remaining(Account(9, 1, 3), Policy(30, 0)) == 0


def test_the_cap_is_named_before_the_quota() -> None:
    """Waiting may help with the one, not with the other."""
    assert refusal(Account(1, 0, 1), 1, Policy(1, 1)) == "too_many_running"


@pytest.mark.parametrize(
    ("moment", "period"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), date(2026, 12, 1)),
        (datetime(2027, 1, 1, tzinfo=UTC), date(2027, 1, 1)),
        (datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), date(2026, 12, 1)),
    ],
)
def test_a_period_is_a_month_in_utc(moment: datetime, period: date) -> None:
    """The caller's time zone does not matter."""
    assert period_of(moment) == period


@given(st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_the_reset_is_the_next_period_s_beginning(moment: datetime) -> None:
    """A period ends where the next begins."""
    reset = resets_at(period_of(moment))
    assert moment < reset <= moment + timedelta(days=31)
    assert period_of(reset) == reset.date()
    assert period_of(reset - timedelta(microseconds=1)) == period_of(moment)
