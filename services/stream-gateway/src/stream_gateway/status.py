"""How a plan stands, in one answer: the owner knows best, then the stored row, then plan-api, which has accepted it."""

from uuid import UUID

import structlog
from pydantic import ValidationError

from common.broker import UNAVAILABLE, Broker
from common.contracts import subjects
from common.contracts.errors import ErrorCode, PlanError
from common.contracts.events import Phase, Progress, Snapshot
from common.contracts.internal import PlanView
from common.contracts.public import StatusReply
from common.generator_client import GeneratorClient
from stream_gateway.attach import OWNER_SECONDS
from stream_gateway.ownership import Ownership
from stream_gateway.plan_event import MalformedEventError, read_event

_log = structlog.get_logger(__name__)


class StatusReader:
    """Asks for one plan."""

    def __init__(self, broker: Broker, generators: GeneratorClient, ownership: Ownership) -> None:
        self._broker = broker
        self._generators = generators
        self._ownership = ownership

    async def read(self, plan_id: UUID, user_id: UUID) -> StatusReply:
        """The status now.

        Raises:
            GeneratorUnavailableError: neither the owner nor a generator answered.
            ApiError: not_found, for a plan that was deleted; unavailable.
        """
        live = await self._from_owner(plan_id)
        if live is not None:
            _log.debug("status.answered", plan_id=str(plan_id), by="owner")
            return live
        view = await self._generators.view(plan_id)
        _log.debug("status.answered", plan_id=str(plan_id), by="plan-api" if view is None else "row")
        if view is not None:
            return _of_view(view)
        weeks = await self._ownership.confirm(plan_id, user_id)
        return StatusReply(
            plan_id=plan_id, status="generating", phase="queued", progress=Progress.queued(weeks), seq=0, attempt=0
        )

    async def _from_owner(self, plan_id: UUID) -> StatusReply | None:
        """While the plan runs; what has ended is read from its row, which holds more than the terminal event."""
        if not self._broker.connected:
            return None
        try:
            reply = await self._broker.client.request(subjects.state(plan_id), b"", timeout=OWNER_SECONDS)
            event = read_event(reply.data, str(plan_id))
            if event is None or event.kind != "snapshot":
                return None
            snapshot = Snapshot.model_validate(event.members)
        except UNAVAILABLE:
            return None
        except (MalformedEventError, ValidationError):
            return None
        return StatusReply(
            plan_id=plan_id,
            status="generating",
            phase=snapshot.progress.phase,
            progress=snapshot.progress,
            seq=snapshot.seq,
            attempt=snapshot.attempt,
        )


def _of_view(view: PlanView) -> StatusReply:
    queued: Phase | None = "queued" if view.attempt == 0 else view.phase
    return StatusReply(
        plan_id=view.plan_id,
        status=view.status,
        phase=queued if view.status == "generating" else None,
        progress=view.progress,
        seq=view.seq,
        attempt=view.attempt,
        error=PlanError.of(view.code or ErrorCode.INTERNAL) if view.ended_as == "error" else None,
    )
