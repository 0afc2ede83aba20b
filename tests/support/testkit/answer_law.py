"""What synchronous calls are told: invariants I1 and I6 as a caller sees them, and that a key makes one plan (I3)."""

from testkit.history import Answer, CallLog, Findings, History, PlanRow
from testkit.stream_law import CLOCK_SLACK_SECONDS


def judge_calls(history: History, findings: Findings) -> None:
    """Hold every answer against what is stored."""
    for call in history.calls:
        _judge(call, history, findings)


def _judge(call: CallLog, history: History, findings: Findings) -> None:
    plans = [row.plan_id for row in history.generations if row.user_id == call.user_id]
    findings.expect(len(plans) == 1, "I3", call.user_id, f"one key of a synchronous call made {len(plans)} plans")
    for plan_id in plans:
        findings.look_at("I6", plan_id)
        findings.expect(bool(call.answers), "I6", plan_id, "the synchronous call was never answered for certain")
        for answer in call.answers:
            _compare(answer, history.rows.get(plan_id), findings)


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
