"""The plan document's model."""

from typing import Any

import pytest

from common.contracts.plan import DAYS, validate_plan


@pytest.mark.parametrize(("start", "end"), [("22:30", "00:30"), ("09:00", "09:00"), ("10:00", "09:00")])
def test_an_odd_end_of_a_task_does_not_cost_the_plan(start: str, end: str) -> None:
    """A task may go over midnight; a slip in one of a hundred tasks must not fail a whole plan."""
    task = {"description": "Look at the stars", "focus_area": "Sky", "start_time": start, "end_time": end}
    days: dict[str, Any] = {day: [] for day in DAYS} | {"friday": [task]}
    week = {"week": 1, "focus": "Orion", "goals": ["See it"], "daily_tasks": days}
    plan = validate_plan({"monthly_summary": "Look up.", "weekly_breakdown": [week]}, 1)
    assert plan.weekly_breakdown[0].daily_tasks.friday[0].end_time == end
