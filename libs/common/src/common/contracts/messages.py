"""What travels over NATS beside the stream events: jobs, outcomes and control."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from common.contracts.base import Envelope
from common.contracts.errors import ErrorCode
from common.contracts.events import PlanStatus, TerminalStatus
from common.contracts.inputs import Preferences
from common.ids import Uuid

Charge = Literal["used", "released"]
OnDisconnect = Literal["abort", "continue"]
Mode = Literal["stream", "sync"]


class GenerateJob(Envelope):
    """Write this plan. It carries the inputs, so that a generator asks nobody."""

    plan_id: Uuid
    user_id: Uuid
    preference_id: Uuid
    preferences: Preferences
    mode: Mode = "stream"
    on_disconnect: OnDisconnect = "abort"
    watched: bool = False
    accepted_at: datetime
    # W3C Trace Context, of the request that asked for the plan; only where tracing is on.
    traceparent: str | None = None


class Outcome(Envelope):
    """How a plan ended, and what becomes of the quota reservation. Published after it is stored."""

    plan_id: UUID
    attempt: int
    status: TerminalStatus
    charge: Charge
    code: ErrorCode | None = None


class ControlRequest(Envelope):
    """Said to the plan's owner: `cancel` asks for a reply; `left` is news that a gateway's last viewer has gone."""

    command: Literal["cancel", "left"]


class ControlReply(Envelope):
    """The stored status after the command."""

    status: PlanStatus


class ViewersReply(Envelope):
    """A gateway's answer to "is anybody watching?"; a gateway without viewers of the plan does not answer."""

    viewers: int
    lag_ms: float = 0.0
