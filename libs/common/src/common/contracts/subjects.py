"""Every NATS subject and stream. A planId is checked to be a UUID before it becomes part of a subject."""

from typing import Final
from uuid import UUID

JOBS_STREAM: Final = "PLAN_JOBS"
JOBS_SUBJECT: Final = "plan.jobs.generate"
JOBS_CONSUMER: Final = "generators"

OUTCOMES_STREAM: Final = "PLAN_OUTCOMES"
OUTCOMES_WILDCARD: Final = "plan.outcomes.*"
OUTCOMES_CONSUMER: Final = "plan-api"


def events(plan_id: UUID) -> str:
    """Core subject: progress and terminal events of one plan."""
    return f"plan.events.{plan_id}"


def state(plan_id: UUID) -> str:
    """Request and reply: the owner answers with a snapshot, or with the terminal event once it is stored."""
    return f"plan.state.{plan_id}"


def control(plan_id: UUID) -> str:
    """Request and reply: cancel, answered by the owner once the outcome is stored."""
    return f"plan.control.{plan_id}"


def viewers(plan_id: UUID) -> str:
    """Request and reply: a gateway that has viewers of the plan answers."""
    return f"plan.viewers.{plan_id}"


def outcome(plan_id: UUID) -> str:
    """JetStream: the outcome of one plan, for settlement."""
    return f"plan.outcomes.{plan_id}"
