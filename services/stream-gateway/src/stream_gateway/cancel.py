"""Cancel a plan from anywhere: record it, ask the owner, else store the end over HTTP (DESIGN section 6, rule 8)."""

import asyncio
import random
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID, uuid4

import structlog
from pydantic import ValidationError

from common.broker import UNAVAILABLE, Broker
from common.contracts import subjects
from common.contracts.events import TerminalStatus
from common.contracts.messages import ControlReply, ControlRequest
from common.generator_client import GeneratorClient, GeneratorUnavailableError
from stream_gateway.hub import Hub
from stream_gateway.journal import Journal
from stream_gateway.owned_tasks import OwnedTasks
from stream_gateway.plan_event import event_of_view
from stream_gateway.repository import CancelAnswered, CancelAsked

_log = structlog.get_logger(__name__)

OWNER_SECONDS = 0.5
STORE_SECONDS = 1.4
CONFIRM_SECONDS = 2.0
# A wish that was accepted is not forgotten because the generators restart: it is tried for so long.
PERSIST_SECONDS = 60.0


class Canceller:
    """One cancellation a plan at a time; later callers wait for the same one."""

    def __init__(
        self, broker: Broker, generators: GeneratorClient, hub: Hub, journal: Journal, tasks: OwnedTasks
    ) -> None:
        self._broker = broker
        self._generators = generators
        self._hub = hub
        self._journal = journal
        self._tasks = tasks
        self._running: dict[UUID, asyncio.Task[TerminalStatus | None]] = {}

    async def cancel(self, plan_id: UUID, user_id: UUID) -> TerminalStatus | None:
        """The final status, which need not be the cancellation's; None when it is not confirmed in 2 seconds."""
        task = self._running.get(plan_id)
        if task is None:
            task = self._tasks.spawn(self._cancel(plan_id, user_id), f"cancel {plan_id}")
            self._running[plan_id] = task
        done, _ = await asyncio.wait({task}, timeout=CONFIRM_SECONDS)
        return task.result() if done and not task.cancelled() else None

    async def _cancel(self, plan_id: UUID, user_id: UUID) -> TerminalStatus | None:
        asked = CancelAsked(uuid4(), plan_id, user_id, datetime.now(UTC))
        self._journal.put(asked)
        try:
            status = await self._ask_owner(plan_id) or await self._store(plan_id, user_id)
        finally:
            del self._running[plan_id]
        answered_at = datetime.now(UTC) if status else None
        self._journal.put(CancelAnswered(asked.id, status or "unanswered", answered_at))
        return status

    async def finish(self, seconds: float) -> None:
        """Wait for what was promised with a 202, for as long as the drain allows."""
        if not self._running:
            return
        _, lost = await asyncio.wait(set(self._running.values()), timeout=seconds)
        if lost:
            _log.error("cancel.lost", plans=[task.get_name() for task in lost])

    async def _ask_owner(self, plan_id: UUID) -> TerminalStatus | None:
        if not self._broker.connected:
            return None
        request = ControlRequest(command="cancel").to_json()
        try:
            message = await self._broker.client.request(subjects.control(plan_id), request, timeout=OWNER_SECONDS)
            return _final(ControlReply.model_validate_json(message.data).status)
        except UNAVAILABLE:
            return None
        except ValidationError as error:
            _log.error("cancel.malformed_reply", plan_id=str(plan_id), error=str(error)[:300])
            return None

    async def _store(self, plan_id: UUID, user_id: UUID) -> TerminalStatus | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PERSIST_SECONDS
        pause = 0.2
        while True:
            try:
                view = await self._generators.cancel(plan_id, user_id, timeout=STORE_SECONDS)
            except GeneratorUnavailableError as error:
                if loop.time() + pause > deadline:
                    _log.error("cancel.unanswered", plan_id=str(plan_id), error=str(error))
                    return None
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, 5.0)
                continue
            event = event_of_view(view)
            if event is not None:
                self._hub.tell(plan_id, event)
            return _final(view.status)


def _final(status: str) -> TerminalStatus | None:
    """The status when it is one of the terminal ones."""
    return next((final for final in get_args(TerminalStatus) if final == status), None)
