"""How often a user may ask."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_gateway import rate_limit
from stream_gateway.rate_limit import RateLimit

USER, OTHER = uuid4(), uuid4()


def test_a_minutes_requests_at_once_and_then_at_that_pace() -> None:
    """The next is refused with how long to wait; whoever waits so long is let in, and no sooner."""
    limit = RateLimit(6)
    assert [limit.take(USER, 100.0) for _ in range(6)] == [0] * 6
    assert limit.take(USER, 100.0) == 10
    assert limit.take(USER, 105.0) == 5
    assert (limit.take(USER, 110.0), limit.take(USER, 110.0)) == (0, 10)
    assert [limit.take(USER, 1000.0) for _ in range(7)] == [0] * 6 + [10]


def test_users_do_not_spend_each_others() -> None:
    """Each has their own."""
    limit = RateLimit(1)
    assert (limit.take(USER, 0.0), limit.take(OTHER, 0.0), limit.take(USER, 0.0)) == (0, 0, 60)


def test_zero_means_no_limit() -> None:
    """And nothing is remembered."""
    limit = RateLimit(0)
    assert not any(limit.take(USER, 0.0) for _ in range(10_000))
    assert len(limit) == 0


def test_who_has_not_asked_for_a_minute_is_forgotten() -> None:
    """Without a sweep: each request forgets up to two."""
    limit = RateLimit(60)
    for number in range(50_000):
        limit.take(UUID(int=number), number / 100)
    assert len(limit) < 300
    for number in range(300):
        limit.take(USER, 1000.0 + number)
    assert len(limit) == 1


def test_memory_is_bounded_whoever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound those who asked least lately are let go; who goes on asking keeps their count."""
    monkeypatch.setattr(rate_limit, "REMEMBERED", 100)
    limit = RateLimit(2)
    for number in range(100):
        limit.take(UUID(int=number), 0.0)
    assert limit.take(UUID(int=0), 0.0) == 0
    for number in range(100, 199):
        limit.take(UUID(int=number), 0.0)
    assert len(limit) == 100
    assert limit.take(UUID(int=0), 0.0) > 0


@given(st.integers(1, 50), st.lists(st.floats(0, 5), max_size=300))
def test_no_minute_holds_more_than_two_minutes_worth(per_minute: int, pauses: list[float]) -> None:
    """What a full bucket holds, and what comes in meanwhile: at most twice the limit in any minute."""
    limit, now, passed = RateLimit(per_minute), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if not limit.take(USER, now):
            passed.append(now)
    for begin in passed:
        assert sum(begin <= moment < begin + 60 for moment in passed) <= 2 * per_minute
        assert sum(begin <= moment < begin + 0.001 for moment in passed) <= per_minute + 1
