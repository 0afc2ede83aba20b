"""The inputs of a plan: a user's goals and preferences, as a client sends them and as they are stored."""

import re
from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator

from common.contracts.base import Request
from common.contracts.plan import ClockTime, Day
from common.ids import Uuid

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _spelled_out(value: object) -> date:
    # pydantic also takes seconds since 1970, as a number or in digits.
    if isinstance(value, date):
        return value
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError as error:
        raise ValueError("must be a date that the calendar has, as YYYY-MM-DD") from error
    raise ValueError("must be a date as YYYY-MM-DD")


def _readable(text: str) -> str:
    if "\0" in text:  # Postgres cannot hold it
        raise ValueError("text must not hold the character NUL")
    if not text.strip():
        raise ValueError("text must not be blank")
    return text


def _time_of_day(value: object) -> object:
    if isinstance(value, str) and not _TIME.fullmatch(value):
        raise ValueError("must be a time from 00:00 to 23:59, as HH:MM")
    return value


IsoDate = Annotated[date, BeforeValidator(_spelled_out)]
Weeks = Annotated[int, Field(ge=4, le=5, strict=True)]
Ambition = Literal["simple", "balanced", "ambitious"]
GoalText = Annotated[str, Field(max_length=4000), AfterValidator(_readable)]
Label = Annotated[str, Field(max_length=200), AfterValidator(_readable)]
Time = Annotated[ClockTime, BeforeValidator(_time_of_day)]
Hours = Annotated[float, Field(ge=0, le=24, allow_inf_nan=False, strict=True)]


_GOAL: TypeAdapter[str] = TypeAdapter(GoalText)
_GOALS: TypeAdapter[list[str]] = TypeAdapter(Annotated[list[GoalText], Field(min_length=1, max_length=20)])


def _one_or_many(value: object) -> str | list[str]:
    # By hand, because a union would tell of each of its branches what is wrong with it.
    match value:
        case str():
            return _GOAL.validate_python(value)
        case list():
            return _GOALS.validate_python(value)
        case _:
            raise ValueError("must be one text, or a list of 1 to 20 texts")


class FixedCommitment(Request):
    """Time that is taken every week; the plan works around it."""

    day: Day
    start_time: Time
    end_time: Time
    description: Label

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end_time <= self.start_time:
            raise ValueError("endTime must be later than startTime")
        return self


class Preferences(Request):
    """What a plan is made from. `start_date` is filled in by the service before it is stored."""

    goals: Annotated[
        GoalText | list[GoalText],
        BeforeValidator(_one_or_many),
        Field(description="one text, or a list of 1 to 20 goals"),
    ]
    focus_areas: Annotated[list[Label], Field(max_length=20)] = []
    available_hours: Annotated[dict[Day, Hours], Field(description="hours a day; a day left out is free")] = {}
    fixed_commitments: Annotated[list[FixedCommitment], Field(max_length=50)] = []
    ambition: Ambition = "balanced"
    start_date: Annotated[IsoDate | None, Field(description="ISO date; default: the coming Monday")] = None
    weeks: Weeks = 4


class PlanInputs(Preferences):
    """The body of `POST /api/plan/inputs`."""

    user_id: Uuid

    def preferences(self) -> Preferences:
        """What belongs to the plan, without whose it is."""
        return Preferences.model_validate(self.model_dump(exclude={"user_id"}))


def coming_monday(today: date) -> date:
    """The first Monday after `today`."""
    return today + timedelta(days=7 - today.weekday())
