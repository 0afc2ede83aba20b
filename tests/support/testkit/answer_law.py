"""What synchronous calls are told: invariants I1 and I6 as a caller sees them, and that a key makes one plan (I3).

A plan that failed does not count for the key, because an error is not remembered: a caller that did not hear of it, and
comes again, gets a new one.
"""

from uuid import UUID

from testkit.history import Answer, CallLog, Findings, History, PlanRow
from testkit.stream_law import CLOCK_SLACK_SECONDS


def judge_calls(history: History, findings: Findings) -> None:
    """Hold every answer against what is stored."""
    for call in history.calls:
        _judge(call, history, findings)


def _judge(call: CallLog, history: History, findings: Findings) -> None:
    plans = [row.plan_id for row in history.generations if row.user_id == call.user_id]
    failed = [plan_id for plan_id in plans if _failed_with(history.rows.get(plan_id)) is not None]
    lasting = len(plans) - len(failed)
    findings.expect(bool(plans) and lasting <= 1, "I3", call.user_id, f"one key of a call made {lasting} lasting plans")
    for plan_id in plans:
        findings.look_at("I6", plan_id)
        findings.expect(bool(call.answers), "I6", plan_id, "the synchronous call was never answered for certain")
    for answer in call.answers:
        meant = _meant(answer, plans, history)
        _compare(answer, None if meant is None else history.rows.get(meant), findings)


def _failed_with(row: PlanRow | None) -> object:
    return row.code if row is not None and row.status == "failed" else None


def _meant(answer: Answer, plans: list[UUID], history: History) -> UUID | None:
    """The plan that an answer is about: a failure does not name it, so the first that failed in this way."""
    told = [plan_id for plan_id in plans if answer.code and _failed_with(history.rows.get(plan_id)) == answer.code]
    named = [plan_id for plan_id in plans if plan_id == answer.plan_id]
    return next(iter([*told, *plans] if answer.plan_id is None else named), None)


def _compare(answer: Answer, row: PlanRow | None, findings: Findings) -> None:
    if row is None or row.completed_at is None:
        findings.add("I1", answer.plan_id, f"was answered {answer.status}, and no end is stored")
        return
    early = row.completed_at - answer.at
    findings.expect(early <= CLOCK_SLACK_SECONDS, "I1", row.plan_id, f"was answered {early:.3f} s before it was stored")
    stored: tuple[object, ...] = row.status, row.code
    told: tuple[object, ...] = "failed", answer.code
    if answer.status == 200:
        stored, told = (row.status, row.plan_id), ("completed", answer.plan_id)
        findings.expect(answer.document == row.document, "I2", row.plan_id, "the answer is not the stored document")
    findings.expect(told == stored, "I1", row.plan_id, f"the caller was told {told}, stored is {stored}")
