"""Plans that nobody looks after: ends that were not announced, and plans that have used up their attempts."""

import asyncio

import structlog

from common.contracts.errors import ErrorCode
from generator import metrics
from generator.repository import SaveRepository
from generator.service import GenerationService

_log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 3.0
# An owner announces soon after storing; only what is older than this was forgotten.
GRACE_SECONDS = 2.0
BATCH = 200


class Sweeper:
    """Every generator sweeps; doing the same twice changes nothing."""

    def __init__(self, repository: SaveRepository, service: GenerationService, max_attempts: int) -> None:
        self._repository = repository
        self._service = service
        self._max_attempts = max_attempts

    async def run(self) -> None:
        """Sweep at each interval, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.sweep()

    async def sweep(self) -> None:
        """Look once."""
        for view in await self._repository.exhausted(self._max_attempts, BATCH):
            metrics.SWEPT.labels("exhausted").inc()
            _log.debug("sweep.exhausted", plan_id=str(view.plan_id), attempt=view.attempt)
            await self._service.cancel(view.plan_id, view.user_id, ErrorCode.INTERNAL)
        if not self._service.can_announce:
            return  # NATS is away: whole rows would be read in vain
        for view in await self._repository.unannounced(GRACE_SECONDS, BATCH):
            metrics.SWEPT.labels("unannounced").inc()
            _log.debug("sweep.announced", plan_id=str(view.plan_id), status=view.status)
            self._service.announce(view)
