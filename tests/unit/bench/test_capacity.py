"""The capacity page: its arithmetic, and that it says what the committed figures say."""

import pytest

from generator import saver
from planbench.capacity import PARTS, Assumptions, Measured, need

MEASURED = Measured(
    plans=400,
    cpu={"generator": 0.03, "gateway": 0.02, "plan-api": 0.003, "postgres": 0.006, "nats": 0.003},
    updates=5.0,
    event_bytes=1000.0,
    process_mib={"generator": 100.0, "gateway": 200.0, "plan-api": 50.0, "nats": 20.0, "postgres": 100.0},
    stream_kib=32.0,
)


def test_what_an_hours_plans_need() -> None:
    """Worked by hand for 48,000 plans an hour of 30 s: 40 in three seconds, 400 at once."""
    found = need(48_000, MEASURED, Assumptions(busy=0.5))
    assert found.at_once == pytest.approx(400)
    assert found.cores["generator"] == pytest.approx(0.4)
    assert found.cores["plan-api"] == pytest.approx(0.04)
    assert found.processes == {"generator": 2, "gateway": 2, "plan-api": 2}
    assert found.messages == pytest.approx(2000)
    assert found.nats_megabytes == pytest.approx(2.0)
    assert found.saved_rows == pytest.approx(400 / 0.8)
    assert found.durable_messages == pytest.approx(48_000 / 3600 * 2)
    assert found.memory_gib == pytest.approx((2 * 350 + 400 * 32 / 1024) / 1024)
    assert found.rented_cores == 10
    assert found.cost_an_hour == pytest.approx(0.4)
    assert found.tokens_cost_an_hour == pytest.approx(48_000 * 1500 / 1e6 * 15)


def test_ten_times_the_plans_need_ten_times_the_cores() -> None:
    """No part's work grows faster than the plans; only the spare process of a small load makes a difference."""
    few, many = need(100_000, MEASURED), need(1_000_000, MEASURED)
    for part in PARTS:
        assert many.cores[part] == pytest.approx(10 * few.cores[part])
    assert many.processes["generator"] <= 10 * few.processes["generator"]


def test_assumptions_are_the_products() -> None:
    """What is assumed of the product is what it does."""
    assert Assumptions().save_seconds == saver.INTERVAL_SECONDS
