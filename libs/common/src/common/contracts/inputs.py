"""The inputs of a plan: a user's goals and preferences, as a client sends them and as they are stored."""

import re
from datetime import date, timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, model_validator

from common.contracts.base import Request
from common.contracts.plan import ClockTime, Day

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _spelled_out(value: object) -> object:
    # pydantic also takes seconds since 1970, as a number or in digits.
    if isinstance(value, date) or (isinstance(value, str) and _DATE.fullmatch(value)):
        return value
    raise ValueError("must be a date as YYYY-MM-DD")


IsoDate = Annotated[date, BeforeValidator(_spelled_out)]
Weeks = Annotated[int, Field(ge=4, le=5, strict=True)]
Ambition = Literal["simple", "balanced", "ambitious"]
# Something to read, and no NUL, which Postgres cannot hold.
_READABLE = r"^[^\x00]*[^\s\x00][^\x00]*$"
GoalText = Annotated[str, Field(min_length=1, max_length=4000, pattern=_READABLE)]
Label = Annotated[str, Field(min_length=1, max_length=200, pattern=_READABLE)]
Hours = Annotated[float, Field(ge=0, le=24, allow_inf_nan=False, strict=True)]


class FixedCommitment(Request):
    """Time that is taken every week; the plan works around it."""

    day: Day
    start_time: ClockTime
    end_time: ClockTime
    description: Label

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end_time <= self.start_time:
            raise ValueError("endTime must be later than startTime")
        return self


class Preferences(Request):
    """What a plan is made from. `start_date` is filled in by the service before it is stored."""

    goals: Annotated[GoalText | list[GoalText], Field(description="one text, or a list of 1 to 20 goals")]
    focus_areas: Annotated[list[Label], Field(max_length=20)] = []
    available_hours: Annotated[dict[Day, Hours], Field(description="hours a day; a day left out is free")] = {}
    fixed_commitments: Annotated[list[FixedCommitment], Field(max_length=50)] = []
    ambition: Ambition = "balanced"
    start_date: Annotated[IsoDate | None, Field(description="ISO date; default: the coming Monday")] = None
    weeks: Weeks = 4

    @model_validator(mode="after")
    def _goals_bounded(self) -> Self:
        if isinstance(self.goals, list) and not 1 <= len(self.goals) <= 20:
            raise ValueError("goals must hold 1 to 20 entries")
        return self


class PlanInputs(Preferences):
    """The body of `POST /api/plan/inputs`."""

    user_id: UUID

    def preferences(self) -> Preferences:
        """What belongs to the plan, without whose it is."""
        return Preferences.model_validate(self.model_dump(exclude={"user_id"}))


def coming_monday(today: date) -> date:
    """The first Monday after `today`."""
    return today + timedelta(days=7 - today.weekday())
