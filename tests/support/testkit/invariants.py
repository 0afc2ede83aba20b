"""The invariants I1 to I6 over a recorded history (see `history`)."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from common.contracts.events import TERMINAL_STATUSES
from testkit.answer_law import judge_calls
from testkit.history import Findings, GenerationRow, History, LedgerRow, PlanLog, PlanRow, RowVersion
from testkit.stream_law import judge_viewers

# Also when the owner is cut off from NATS: it is asked in vain for half a second, and then hears of it from Postgres.
CANCEL_SECONDS = 1.0
# After the end of the grace period, and after any other end of a plan.
END_SECONDS = 2.0
# How often an owner asks whether anybody watches (DESIGN section 6, rule 10).
POLL_SECONDS = 10.0


def check(history: History) -> Findings:
    """Hold a history against all six."""
    findings = Findings()
    _check_ends(history, findings)
    _check_quota(history, findings)
    _check_attempts(history, findings)
    _check_upstream(history, findings)
    judge_viewers(history, findings)
    judge_calls(history, findings)
    return findings


def _check_ends(history: History, findings: Findings) -> None:
    """I1: one terminal status, and plan-api and the generator agree on it."""
    known = {row.plan_id: row for row in history.generations}
    versions = _by_plan(history.versions)
    for plan_id in {plan.plan_id for plan in history.plans} | set(known):
        findings.look_at("I1", plan_id)
        row, generation = history.rows.get(plan_id), known.get(plan_id)
        if row is None or generation is None:
            findings.add(
                "I1", plan_id, f"generator: {row and row.status}, plan-api: {generation and generation.status}"
            )
            continue
        findings.expect(row.status in TERMINAL_STATUSES, "I1", plan_id, f"is {row.status} in the end")
        findings.expect(
            row.status == generation.status, "I1", plan_id, f"is {row.status}, plan-api says {generation.status}"
        )
        ends = {
            (version.status, version.attempt, version.seq)
            for version in versions[plan_id]
            if version.status in TERMINAL_STATUSES
        }
        findings.expect(len(ends) == 1, "I1", plan_id, f"was stored with {len(ends)} ends: {sorted(ends)}")


def _check_quota(history: History, findings: Findings) -> None:
    """I3: settled once, as the outcome says, and the account is the ledger's sum."""
    entries: dict[UUID, list[LedgerRow]] = defaultdict(list)
    for entry in history.ledger:
        entries[entry.plan_id].append(entry)
    for generation in history.generations:
        plan_id = generation.plan_id
        findings.look_at("I3", plan_id)
        kinds = sorted(entry.kind for entry in entries[plan_id])
        expected = _due(generation, history.rows.get(plan_id))
        wanted = sorted(["reserved", expected])
        findings.expect(kinds == wanted, "I3", plan_id, f"the ledger has {kinds}, due is {wanted}")
        findings.expect(
            generation.quota_state == expected, "I3", plan_id, f"is {generation.quota_state}, due is {expected}"
        )
    for user_id, account in history.accounts.items():
        mine = [entry for entry in history.ledger if entry.user_id == user_id]
        sums = sum(entry.used_delta for entry in mine), sum(entry.reserved_delta for entry in mine)
        findings.expect(sums == (account.used, account.reserved), "I3", user_id, f"account {account}, ledger {sums}")
        charged = sum(
            g.user_id == user_id and _due(g, history.rows.get(g.plan_id)) == "used" for g in history.generations
        )
        findings.expect(
            (account.used, account.reserved) == (charged, 0), "I3", user_id, f"{account}, but {charged} plans are due"
        )
    booked = [call.generation_id for call in history.booked if call.generation_id is not None]
    findings.expect(len(booked) == len(set(booked)), "I3", "upstream_calls", "an answer was booked twice")


def _due(generation: GenerationRow, row: PlanRow | None) -> str:
    """What DESIGN section 5 charges, decided anew from how the plan ended and whether there is content."""
    if row is None or row.status not in TERMINAL_STATUSES:
        return "unsettled"
    content = row.document is not None
    users_doing = row.ended_as == "cancelled" or row.code == "client_disconnected"
    return "used" if row.status == "completed" or (users_doing and content) else "released"


def _check_attempts(history: History, findings: Findings) -> None:
    """I4, the writing half: attempts only rise, each has one owner, and within one seq never falls."""
    for plan_id, versions in _by_plan(history.versions).items():
        findings.look_at("I4", plan_id)
        owners: dict[int, UUID] = {}
        for before, after in pairwise(versions):
            here = f"{before.attempt}.{before.seq} → {after.attempt}.{after.seq}"
            findings.expect(before.attempt <= after.attempt, "I4", plan_id, f"an older attempt wrote: {here}")
            same = before.attempt == after.attempt
            findings.expect(not same or before.seq <= after.seq, "I4", plan_id, f"an older state was written: {here}")
        for version in versions:
            if version.owner is not None:
                first = owners.setdefault(version.attempt, version.owner)
                findings.expect(first == version.owner, "I4", plan_id, f"attempt {version.attempt} has had two owners")


def _check_upstream(history: History, findings: Findings) -> None:
    """I5: connections are closed in time."""
    deadlines = {plan.plan_id: found for plan in history.plans if (found := _deadline(history, plan)) is not None}
    for answer in history.upstream:
        findings.look_at("I5", answer.plan_id)
        if answer.ended is None:
            findings.add("I5", answer.plan_id, f"the connection of {answer.id} is still open")
            continue
        row = history.rows.get(answer.plan_id)
        limits = [deadlines[answer.plan_id]] if answer.plan_id in deadlines else []
        if row is not None and row.completed_at is not None:
            limits.append((_after(history, row.completed_at, END_SECONDS), "the plan's end"))
        for limit, event in limits:
            late = answer.ended - limit
            findings.expect(late <= 0, "I5", answer.plan_id, f"closed {late:.2f} s too late after {event}")


def _deadline(history: History, plan: PlanLog) -> tuple[float, str] | None:
    """Until when the user's act must have closed upstream."""
    if plan.cancelled_at is not None:
        return _after(history, plan.cancelled_at, CANCEL_SECONDS), "the cancel"
    if plan.abandoned_at is None:
        return None
    wait = history.grace_seconds + END_SECONDS
    limit = plan.abandoned_at + wait
    # News of the last viewer's going is lost on an owner that dies, or that is cut off: the poll finds it out.
    losses = [end for begin, end in (*history.frozen, *history.unheard) if begin <= limit and plan.abandoned_at <= end]
    losses += [at for at in _takeovers(history, plan.plan_id) if at >= plan.abandoned_at]
    return max([limit, *(at + POLL_SECONDS + wait for at in losses)]), "the end of the grace period"


def _takeovers(history: History, plan_id: UUID) -> list[float]:
    claimed: dict[int, float] = {}
    for version in history.versions:
        if version.plan_id == plan_id and version.attempt > 1 and version.owner is not None:
            claimed.setdefault(version.attempt, version.at)
    return list(claimed.values())


def _after(history: History, moment: float, seconds: float) -> float:
    """A deadline; it starts anew when an owner wakes that was frozen meanwhile."""
    deadline = moment + seconds
    for begin, end in sorted(history.frozen):
        if begin <= deadline and moment <= end:
            deadline = max(deadline, end + seconds)
    return deadline


def _by_plan(versions: Sequence[RowVersion]) -> dict[UUID, list[RowVersion]]:
    ordered: dict[UUID, list[RowVersion]] = defaultdict(list)
    for version in versions:
        ordered[version.plan_id].append(version)
    return ordered
