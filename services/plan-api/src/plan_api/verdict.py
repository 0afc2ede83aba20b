"""What becomes of an open reservation, given what the generator says of its plan. Pure."""

from dataclasses import dataclass

from common.contracts.errors import ErrorCode
from common.contracts.internal import PlanView
from common.contracts.messages import Mode, Outcome


@dataclass(frozen=True, slots=True)
class Settle:
    """The plan has ended."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Republish:
    """Nobody is at it, and its job may have been lost."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It waited long enough: have the generator store its end first, and settle from that."""

    code: ErrorCode


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody is at it, or it is too early to say."""


Verdict = Settle | Republish | GiveUp | Wait


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a plan may be without a generator, in seconds: in the queue, in a synchronous call, and half-written."""

    queue_seconds: float
    synchronous_seconds: float
    abandoned_seconds: float = 600.0
    """After it has been begun. Longer: what there is of it is worth that another generator goes on with it."""


def outcome_of(view: PlanView) -> Outcome | None:
    """The outcome that a terminal row tells of; None while the plan is being written.

    Raises:
        ValueError: the row is terminal and does not say what to charge.
    """
    if view.status == "generating":
        return None
    if view.charge is None:
        raise ValueError(f"plan {view.plan_id} ended as {view.status} without a charge")
    return Outcome(plan_id=view.plan_id, attempt=view.attempt, status=view.status, charge=view.charge, code=view.code)


def decide(
    mode: Mode, age_seconds: float, due: bool, view: PlanView | None, patience: Patience, idle_seconds: float = 0.0
) -> Verdict:
    """Judge one reservation.

    Args:
        mode: how the plan was started; a synchronous one has no job to publish.
        age_seconds: since admission.
        due: whether the pause since the job was last published is over.
        view: the generator's row; None when no generator has claimed the plan.
        patience: when to give up.
        idle_seconds: since somebody last wrote the row.
    """
    outcome = None if view is None else outcome_of(view)
    if outcome is not None:
        return Settle(outcome)
    if view is not None and not view.lease_expired:
        return Wait()
    if mode == "sync":
        abandoned = ErrorCode.QUEUE_TIMEOUT if view is None else ErrorCode.INTERNAL
        return GiveUp(abandoned) if age_seconds > patience.synchronous_seconds else Wait()
    too_long = age_seconds > patience.queue_seconds if view is None else idle_seconds > patience.abandoned_seconds
    if too_long:
        return GiveUp(ErrorCode.QUEUE_TIMEOUT)
    return Republish() if due else Wait()
