"""Cancel a plan from anywhere: record it, ask the owner, else store the end over HTTP (DESIGN section 6, rule 8).

What was accepted is tried until the plan has ended: by this gateway as long as it lives, then by another
(`abandoned_cancels`).
"""

import asyncio
import random
from collections.abc import Collection
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
from common.problems import ApiError
from stream_gateway import metrics
from stream_gateway.hub import Hub
from stream_gateway.journal import Journal
from stream_gateway.owned_tasks import OwnedTasks
from stream_gateway.plan_api import PlanApi
from stream_gateway.plan_event import event_of_view
from stream_gateway.repository import CancelAnswered, CancelAsked

_log = structlog.get_logger(__name__)

OWNER_SECONDS = 0.5
WEEKS_SECONDS = 0.3
STORE_SECONDS = 1.4
CONFIRM_SECONDS = 2.0
# Between two tries to store it, while no generator answers.
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0


class Canceller:
    """One cancellation a plan at a time; later callers wait for the same one."""

    def __init__(
        self,
        broker: Broker,
        generators: GeneratorClient,
        plan_api: PlanApi,
        hub: Hub,
        journal: Journal,
        tasks: OwnedTasks,
    ) -> None:
        self._broker = broker
        self._generators = generators
        self._plan_api = plan_api
        self._hub = hub
        self._journal = journal
        self._tasks = tasks
        self._running: dict[UUID, asyncio.Task[TerminalStatus]] = {}

    @property
    def at_work(self) -> Collection[UUID]:
        """The plans that are being cancelled from here."""
        return self._running.keys()

    async def cancel(self, plan_id: UUID, user_id: UUID) -> TerminalStatus | None:
        """The final status, which need not be the cancellation's; None when it is not confirmed in 2 seconds."""
        if plan_id not in self._running:
            self._journal.put(CancelAsked(uuid4(), plan_id, user_id, datetime.now(UTC)))
        task = self.take_up(plan_id, user_id)
        done, _ = await asyncio.wait({task}, timeout=CONFIRM_SECONDS)
        return task.result() if done and not task.cancelled() else None

    def take_up(self, plan_id: UUID, user_id: UUID) -> "asyncio.Task[TerminalStatus]":
        """Work on a cancellation that is recorded, until the plan has ended."""
        task = self._running.get(plan_id)
        if task is None:
            task = self._tasks.spawn(self._cancel(plan_id, user_id), f"cancel {plan_id}")
            self._running[plan_id] = task
        return task

    async def _cancel(self, plan_id: UUID, user_id: UUID) -> TerminalStatus:
        began = asyncio.get_running_loop().time()
        try:
            status = await self._ask_owner(plan_id)
            _log.debug("cancel.owner_asked", plan_id=str(plan_id), status=status)
            status = status or await self._store(plan_id, user_id)
        finally:
            del self._running[plan_id]
        metrics.CANCEL.observe(asyncio.get_running_loop().time() - began)
        self._journal.put(CancelAnswered(plan_id, status, datetime.now(UTC)))
        return status

    async def finish(self, seconds: float) -> None:
        """Wait for what was promised with a 202, for as long as the drain allows."""
        if not self._running:
            return
        _, lost = await asyncio.wait(set(self._running.values()), timeout=seconds)
        if lost:
            _log.warning("cancel.left_to_others", plans=[task.get_name() for task in lost])

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

    async def _store(self, plan_id: UUID, user_id: UUID) -> TerminalStatus:
        pause = FIRST_PAUSE_SECONDS
        weeks: int | None = None
        while True:
            if pause > FIRST_PAUSE_SECONDS and (status := await self._ask_owner(plan_id)) is not None:
                return status  # somebody has taken it up meanwhile, and would have written on
            weeks = weeks or await self._weeks(plan_id, user_id)
            try:
                view = await self._generators.cancel(plan_id, user_id, weeks=weeks, timeout=STORE_SECONDS)
                if (status := _final(view.status)) is not None:
                    break
                error = "the plan goes on"
            except GeneratorUnavailableError as unavailable:
                error = str(unavailable)
            _log.warning("cancel.tried", plan_id=str(plan_id), again_in=pause, error=error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        if (event := event_of_view(view)) is not None:
            self._hub.tell(plan_id, event)
        return status

    async def _weeks(self, plan_id: UUID, user_id: UUID) -> int | None:
        """How long the plan would have been, for the row of one that nobody has claimed; None when it is not known."""
        try:
            async with asyncio.timeout(WEEKS_SECONDS):
                generation = await self._plan_api.generation(plan_id, user_id)
        except (ApiError, TimeoutError):
            return None
        return None if generation is None else generation.weeks


def _final(status: str) -> TerminalStatus | None:
    """The status when it is one of the terminal ones."""
    return next((final for final in get_args(TerminalStatus) if final == status), None)
