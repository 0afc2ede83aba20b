"""The synchronous call: HTTP and Postgres alone, so that it works with NATS down."""

import asyncio
import random
from uuid import UUID

import structlog

from common.contracts.errors import ErrorCode, failure_message
from common.contracts.internal import GenerationResult, PlanView
from common.contracts.messages import GenerateJob
from common.generator_client import GeneratorClient, GeneratorUnavailableError, generators_unavailable
from common.problems import ApiError
from plan_api import metrics
from plan_api.admission import Admission, Start
from plan_api.repository.idempotency import IdempotencyKey
from plan_api.settlement import Settlement

_log = structlog.get_logger(__name__)

# Between the tries; the generator knows the plan by its id, so asking again starts nothing twice.
_PAUSES = (0.2, 1.0)


class Synchronous:
    """Admit, have it written, settle, answer."""

    def __init__(
        self, admission: Admission, generator: GeneratorClient, settlement: Settlement, deadline_seconds: float
    ) -> None:
        self._admission = admission
        self._generator = generator
        self._settlement = settlement
        self._deadline_seconds = deadline_seconds

    async def generate(self, user_id: UUID, preference_id: UUID, key: IdempotencyKey | None) -> GenerationResult:
        """Write a plan and return it.

        Raises:
            ApiError: as `Admission.admit`; the code the generation failed with; or unavailable, when no generator
                answered: the reservation then stays until the generator's row says what became of the plan.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        began = asyncio.get_running_loop().time()
        accepted = await self._admission.admit(Start(user_id, preference_id, "sync", key=key))
        plan_id = accepted.generation.plan_id
        try:
            view = await self._write(accepted.generation.job())
        except GeneratorUnavailableError as error:
            _log.warning("synchronous.unavailable", plan_id=str(plan_id), error=str(error))
            raise generators_unavailable() from error
        if not await self._settlement.settle_from(view):
            _log.warning("synchronous.unfinished", plan_id=str(plan_id), attempt=view.attempt)
            raise generators_unavailable()
        metrics.SYNCHRONOUS.labels(view.status).observe(asyncio.get_running_loop().time() - began)
        return _result(view)

    async def _write(self, job: GenerateJob) -> PlanView:
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        for pause in _PAUSES:
            try:
                return await self._generator.generate(job, timeout=_left(deadline))
            except GeneratorUnavailableError as error:
                _log.info("synchronous.retry", plan_id=str(job.plan_id), error=str(error))
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
        return await self._generator.generate(job, timeout=_left(deadline))


def _left(deadline: float) -> float:
    return max(0.1, deadline - asyncio.get_running_loop().time())


def _result(view: PlanView) -> GenerationResult:
    if view.status == "completed" and isinstance(view.plan, dict):
        return GenerationResult(plan_id=view.plan_id, status=view.status, plan=view.plan, usage=view.usage)
    code = ErrorCode.CANCELLED if view.ended_as == "cancelled" else view.code or ErrorCode.INTERNAL
    raise ApiError(code, failure_message(code))
