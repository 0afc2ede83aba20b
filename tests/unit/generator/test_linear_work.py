"""From a token to an event: the work follows what comes, and not what has come before."""

import json
import sys
import time
from types import FrameType
from typing import Any
from uuid import UUID

import pytest

from common.contracts.plan import DAYS
from generator.draft import Kept
from generator.live_plan import LivePlan
from generator.meter import Meter

WEEKS = 4
TOKEN = 4
# By how much a character's share of the work may grow with twice the output; it doubles when the work is quadratic.
GROWTH = 1.1
# Four times the output, in time of the processor: 4 when the work is linear, 16 when it is not.
FOUR_TIMES = 7.0


def text(goals: int) -> str:
    """A plan with so many goals in each week; its length follows their number."""
    days: dict[str, list[Any]] = {day: [] for day in DAYS}
    weeks = [
        {"week": number, "focus": "Bowing", "goals": ["Learn a page by heart — “slowly”"] * goals, "daily_tasks": days}
        for number in range(1, WEEKS + 1)
    ]
    return json.dumps({"monthly_summary": "A month. " * goals, "weekly_breakdown": weeks}, ensure_ascii=False)


class Written:
    """A plan that is written token by token, each of them said at once; `bytes_said` are those of the events."""

    def __init__(self) -> None:
        self.bytes_said = 0
        self.plan = LivePlan(
            UUID(int=1),
            1,
            Kept(),
            Meter(WEEKS, started_at=0),
            send=self._send,
            clock=lambda: 1.0,
            call_later=lambda *_: pytest.fail("nothing is to wait"),
            save_soon=lambda: None,
        )

    def _send(self, payload: bytes) -> None:
        self.bytes_said += len(payload)

    def feed(self, whole: str) -> None:
        """All tokens of a text."""
        for at in range(0, len(whole), TOKEN):
            self.plan.feed(whole[at : at + TOKEN])


def lines_of(work: Written, whole: str) -> int:
    """How many lines of Python are executed for a text."""
    count = 0

    def trace(_: FrameType, event: str, __: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work.feed(whole)
    finally:
        sys.settrace(before)
    assert json.dumps(work.plan.document, ensure_ascii=False) == whole
    return count


def test_twice_the_output_is_twice_the_work() -> None:
    """Complaint 12: for twice the output twice as many lines are executed and twice as many bytes said, and no more."""
    once, twice = text(30), text(60)
    first, second = Written(), Written()
    longer = len(twice) / len(once)
    assert lines_of(second, twice) < GROWTH * longer * lines_of(first, once)
    assert second.bytes_said < GROWTH * longer * first.bytes_said


@pytest.mark.full
def test_four_times_the_output_takes_four_times_as_long() -> None:
    """Complaint 12: also in what no line of ours is counted for, as copies: the best of some runs, of the processor."""
    small, large = text(150), text(600)
    seconds = {whole: min(_seconds(whole) for _ in range(3)) for whole in (small, large)}
    assert seconds[large] < FOUR_TIMES * seconds[small]


def _seconds(whole: str) -> float:
    work = Written()
    began = time.process_time()
    work.feed(whole)
    return time.process_time() - began
