"""What a client reads about a body that is refused."""

import json
from typing import Any

import pytest

from common.bodies import parse_model
from common.contracts.inputs import PlanInputs
from common.problems import ApiError

USER = "7d0e8f4c-52a4-4f3e-9a70-3c1b8f1f1a01"
WORK = {"day": "monday", "startTime": "09:00", "endTime": "17:00", "description": "Work"}


def faults(change: Any) -> list[tuple[str, str]]:
    """Pointer and message of each fault of good inputs with this change."""
    body = {"userId": USER, "goals": "Learn to whittle"} | change if isinstance(change, dict) else change
    with pytest.raises(ApiError) as refused:
        parse_model(json.dumps(body).encode(), PlanInputs)
    errors = refused.value.errors or []
    assert refused.value.detail.endswith(errors[0]["message"])
    assert all(set(error) == {"pointer", "message"} for error in errors)
    return [(error["pointer"], error["message"]) for error in errors]


ONE_OR_MANY = "must be one text, or a list of 1 to 20 texts"
BLANK = "text must not be blank"
NUL = "text must not hold the character NUL"
TIME = "must be a time from 00:00 to 23:59, as HH:MM"
DAYS = "'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday' or 'sunday'"


@pytest.mark.parametrize(
    ("change", "pointer", "message"),
    [
        ({"goals": ""}, "/goals", BLANK),
        ({"goals": " \n "}, "/goals", BLANK),
        ({"goals": "a\0b"}, "/goals", NUL),
        ({"goals": "x" * 4001}, "/goals", "is too long; the most is 4000 characters"),
        ({"goals": ["run", " "]}, "/goals/1", BLANK),
        ({"goals": ["run", 7]}, "/goals/1", "must be text"),
        ({"goals": []}, "/goals", "has too few entries; the least is 1"),
        ({"goals": ["run"] * 21}, "/goals", "has too many entries; the most is 20"),
        ({"goals": None}, "/goals", ONE_OR_MANY),
        ({"goals": {"a": 1}}, "/goals", ONE_OR_MANY),
        ({"focusAreas": ["a", " "]}, "/focusAreas/1", BLANK),
        ({"focusAreas": "music"}, "/focusAreas", "must be a list"),
        ({"availableHours": {"someday": 2}}, "/availableHours/someday", f"must be {DAYS}"),
        ({"availableHours": {"monday": 25}}, "/availableHours/monday", "must be at most 24"),
        ({"availableHours": {"monday": "2"}}, "/availableHours/monday", "must be a number"),
        ({"availableHours": []}, "/availableHours", "must be an object"),
        ({"fixedCommitments": [WORK | {"startTime": "25:00"}]}, "/fixedCommitments/0/startTime", TIME),
        ({"fixedCommitments": [WORK | {"description": "\t"}]}, "/fixedCommitments/0/description", BLANK),
        ({"ambition": "heroic"}, "/ambition", "must be 'simple', 'balanced' or 'ambitious'"),
        ({"startDate": 86400}, "/startDate", "must be a date as YYYY-MM-DD"),
        ({"startDate": "2026-13-01"}, "/startDate", "must be a date that the calendar has, as YYYY-MM-DD"),
        ({"weeks": 3}, "/weeks", "must be at least 4"),
        ({"weeks": "4"}, "/weeks", "must be a whole number"),
        ({"userId": "me"}, "/userId", "must be a UUID, such as 6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac"),
        ({"a/b~": 1}, "/a~1b~0", "is not a field that is known here"),
        ([], "", "must be an object"),
    ],
)
def test_a_fault_is_told_once_and_plainly(change: Any, pointer: str, message: str) -> None:
    """One entry for one fault: where it is (RFC 6901), and a sentence without patterns and names of ours."""
    assert faults(change) == [(pointer, message)]


@pytest.mark.parametrize("end", ["09:00", "08:59"])
def test_a_commitment_ends_after_it_starts(end: str) -> None:
    """What a user says of a day is checked, and the sentence names both fields."""
    late = faults({"fixedCommitments": [WORK, WORK | {"endTime": end}]})
    assert late == [("/fixedCommitments/1", "endTime must be later than startTime")]


def test_several_faults_are_told_together() -> None:
    """All of them, so that one round mends the body."""
    found = faults({"goals": " ", "weeks": 9, "colour": "blue"})
    assert {pointer for pointer, _ in found} == {"/goals", "/weeks", "/colour"}
