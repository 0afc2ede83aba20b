"""Upstream's part in a load: what the emulator is told, and that a script which was not played is noticed."""

import random
from dataclasses import replace
from uuid import UUID

import pytest

from openrouter_emulator import Assignment
from testkit.history import History, PlanRow, Upstream
from testkit.scale import Pace
from testkit.scripts import script

PLAN = UUID(int=1)
PACE = Pace(tokens_per_second=20, chars_per_token=24)
WHOLE = Upstream("g1", PLAN, 1.0, 2.0)
BROKEN = replace(WHOLE, broken=True)


def history(status: str, *answers: Upstream, attempt: int = 1) -> History:
    """How a plan ended, and what upstream did."""
    row = PlanRow(PLAN, status, None, attempt, 1, None, None, None, 3.0)
    return History([], [], {PLAN: row}, [], [], [], {}, answers, [], 3.0)


@pytest.mark.parametrize(("way", "times", "answers"), [("", [], 1), ("break", [1], 2), ("refuse", [None], 0)])
def test_rules(way: str, times: list[int | None], answers: int) -> None:
    """A way becomes rules that the emulator knows; the break is for one answer, the refusal for all."""
    for seed in range(20):
        played = script("Sail", way, random.Random(seed))
        rules = [Assignment.model_validate(rule) for rule in played.rules(PACE)]
        assert [rule.times for rule in rules] == times
        assert {rule.match.prompt_contains for rule in rules} <= {"Sail"}
        assert played.answers == answers


def test_break_comes_before_the_refusal() -> None:
    """The first answer breaks off, and every further one is refused."""
    played = script("Sail", "break, refuse", random.Random(1))
    assert [rule["times"] for rule in played.rules(PACE)] == [1, None]
    assert played.answers == 1


@pytest.mark.parametrize(
    ("way", "seen", "played"),
    [
        ("", history("completed", WHOLE), True),
        ("break", history("completed", BROKEN, WHOLE), True),
        ("break", history("completed", WHOLE), False),
        # The owner died first.
        ("break", history("completed", WHOLE, attempt=2), True),
        ("refuse", history("failed"), True),
        ("refuse", history("completed", WHOLE), False),
    ],
)
def test_unplayed(way: str, seen: History, played: bool) -> None:
    """A plan that upstream was to break off or to refuse, and did not, is named."""
    assert (script("Sail", way, random.Random(1)).unplayed(PLAN, seen) is None) == played
