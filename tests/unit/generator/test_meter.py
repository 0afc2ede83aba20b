"""Progress, counted from operations."""

import json

from hypothesis import given
from hypothesis import strategies as st

from common.contracts.events import Progress
from common.contracts.plan import DAYS
from generator.draft import Draft
from generator.meter import Meter

PLAN = json.dumps(
    {
        "monthly_summary": "s",
        "weekly_breakdown": [
            {"week": n, "focus": "f", "goals": ["g"], "daily_tasks": {day: [] for day in DAYS}} for n in (1, 2, 3, 4)
        ],
    }
)


def read(meter: Meter, now: float, **ended: bool) -> Progress:
    """The wire form, checked against the contract."""
    return Progress.model_validate(meter.read(now, **ended))


@given(size=st.integers(1, 300))
def test_percent_never_falls_and_stays_below_100(size: int) -> None:
    """Whatever the split, percent only grows, and 100 is for `complete` alone."""
    draft, meter, last = Draft(4), Meter(4, started_at=0), 0.0
    for start in range(0, len(PLAN), size):
        text = PLAN[start : start + size]
        meter.count(draft.feed(text), len(text), start / 1000)
        percent = meter.read(start / 1000, stored=True)["reached"]
        assert isinstance(percent, float)
        assert last <= percent < 100
        last = percent
    assert last > 90
    assert read(meter, 9, ended=True, complete=True).percent == 100


def test_weeks_are_counted_when_the_next_begins() -> None:
    """A week is complete once another has begun; the last one when the document is whole."""
    draft, meter = Draft(4), Meter(4, started_at=0)
    meter.count(draft.feed(PLAN), len(PLAN), 1)
    assert read(meter, 1).weeks_completed == 3
    meter.finish()
    assert read(meter, 1).weeks_completed == 4


def test_percent_survives_a_takeover_and_a_rewind() -> None:
    """A new attempt, or a continuation that keeps less, does not go back."""
    meter = Meter(4, started_at=0, percent=60.0, elapsed_ms=5000)
    meter.rewind(1)
    assert read(meter, 1).percent == 60.0
    assert read(meter, 1).elapsed_ms == 6000


def test_events_say_no_more_than_what_is_stored() -> None:
    """A viewer never sees a percent that a takeover could fall below."""
    draft, meter = Draft(4), Meter(4, started_at=0)
    meter.count(draft.feed(PLAN), len(PLAN), 1)
    assert read(meter, 1).percent == 0
    row = meter.read(1, stored=True)
    assert row["reached"] == 96.5
    meter.stored(row)
    assert read(meter, 1).percent == 96.5


def test_a_row_shows_no_more_than_the_events_around_it() -> None:
    """Whoever reads the row before its owner knows that it is stored must not see the next event fall back."""
    draft, meter = Draft(4), Meter(4, started_at=0)
    meter.count(draft.feed(PLAN), len(PLAN), 1)
    assert meter.read(1, stored=True)["percent"] == read(meter, 1).percent == 0


def test_only_complete_says_100() -> None:
    """While the end is being stored, a save of the running plan does not say that it is whole."""
    draft, meter = Draft(4), Meter(4, started_at=0)
    meter.count(draft.feed(PLAN), len(PLAN), 1)
    meter.finish()
    assert meter.read(1, ended=True, complete=True)["percent"] == 100
    assert meter.read(1, stored=True)["reached"] == 99
    assert read(meter, 1, ended=True).percent == 99


def test_ended_progress_has_no_phase() -> None:
    """The phase is live only."""
    meter = Meter(4, started_at=0)
    assert read(meter, 1).phase == "connecting"
    assert read(meter, 1, ended=True).phase is None
