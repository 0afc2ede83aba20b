"""What becomes of an open reservation."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from common.contracts.errors import ErrorCode
from common.contracts.events import Progress
from common.contracts.internal import PlanView
from common.contracts.messages import Mode
from plan_api.verdict import GiveUp, Patience, Republish, Settle, Verdict, Wait, decide, outcome_of

PATIENCE = Patience(queue_seconds=120, synchronous_seconds=330)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROGRESS = Progress(phase=None, weeks_completed=0, weeks_total=4, percent=0, chars=0, tokens_per_second=0, elapsed_ms=0)


def row(**fields: Any) -> PlanView:
    """The generator's row."""
    known = {"plan_id": UUID(int=1), "user_id": UUID(int=2), "attempt": 3, "seq": 4, "progress": PROGRESS}
    return PlanView(**{**known, "status": "generating", "updated_at": NOW, **fields})


RUNNING = row()
ORPHANED = row(lease_expired=True)
ABANDONED = row(lease_expired=True, updated_at=NOW - timedelta(seconds=601))
TIMED_OUT = ErrorCode.QUEUE_TIMEOUT


@pytest.mark.parametrize(
    ("mode", "age", "due", "view", "verdict"),
    [
        ("stream", 31, True, RUNNING, Wait()),
        ("stream", 9999, True, RUNNING, Wait()),
        ("stream", 31, True, None, Republish()),
        ("stream", 31, False, None, Wait()),
        ("stream", 121, True, None, GiveUp(TIMED_OUT)),
        ("stream", 121, False, None, GiveUp(TIMED_OUT)),
        ("stream", 31, True, ORPHANED, Republish()),
        ("stream", 9999, True, ORPHANED, Republish()),
        ("stream", 9999, False, ORPHANED, Wait()),
        ("stream", 9999, True, ABANDONED, GiveUp(TIMED_OUT)),
        ("stream", 9999, False, ABANDONED, GiveUp(TIMED_OUT)),
        ("stream", 9999, False, row(updated_at=NOW - timedelta(hours=1)), Wait()),
        ("sync", 121, True, None, Wait()),
        ("sync", 331, True, None, GiveUp(TIMED_OUT)),
        ("sync", 9999, True, RUNNING, Wait()),
        ("sync", 121, True, ORPHANED, Wait()),
        ("sync", 331, True, ORPHANED, GiveUp(ErrorCode.INTERNAL)),
    ],
)
def test_a_plan_without_an_end(mode: Mode, age: float, due: bool, view: PlanView | None, verdict: Verdict) -> None:
    """Rule 9: a plan with an owner is waited for; one without is published again, then given up; sync has no job."""
    idle = 0.0 if view is None else (NOW - view.updated_at).total_seconds()
    assert decide(mode, age, due, view, PATIENCE, idle) == verdict


@pytest.mark.parametrize("mode", ["stream", "sync"])
@pytest.mark.parametrize("age", [31, 9999])
def test_a_terminal_row_settles_whatever_the_age(mode: Mode, age: float) -> None:
    """Rule 9: a reservation is settled by the row's own status, charge and code."""
    view = row(status="failed", charge="released", code="upstream_error", ended_as="error")
    verdict = decide(mode, age, True, view, PATIENCE)
    assert isinstance(verdict, Settle)
    assert verdict.outcome.model_dump() == {
        "plan_id": UUID(int=1),
        "attempt": 3,
        "status": "failed",
        "charge": "released",
        "code": ErrorCode.UPSTREAM_ERROR,
    }


def test_a_running_row_has_no_outcome() -> None:
    """There is nothing to settle."""
    assert outcome_of(RUNNING) is None


def test_a_charge_is_never_guessed() -> None:
    """A terminal row without one is malformed."""
    with pytest.raises(ValueError, match="without a charge"):
        outcome_of(row(status="completed"))
