"""Cancellations that were accepted, and whose gateway is gone before the plan has ended: another takes them up."""

import asyncio
import random

import structlog

from common.postgres import UNAVAILABLE
from stream_gateway.cancel import Canceller
from stream_gateway.repository import Repository

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 3.0
# A living gateway says within this time that it still works on a cancellation; a new row is held for as long.
HELD_SECONDS = 10.0
# At work at once, with those that were asked for here.
MOST = 100


class AbandonedCancels:
    """Every gateway looks; a row is held by one."""

    def __init__(self, repository: Repository, canceller: Canceller) -> None:
        self._repository = repository
        self._canceller = canceller

    async def run(self) -> None:
        """Look at once, and then again and again."""
        while True:
            await self.look()
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def look(self) -> None:
        """Hold what is worked on here, and take up what nobody holds; without Postgres, at the next look."""
        at_work = self._canceller.at_work
        try:
            await self._repository.hold(at_work, HELD_SECONDS)
            left = await self._repository.take_up(MOST - len(at_work), HELD_SECONDS)
        except UNAVAILABLE as error:
            _log.debug("abandoned_cancels.postgres_away", error=repr(error))
            return
        for request in left:
            _log.warning("cancel.taken_up", plan_id=str(request.plan_id))
            self._canceller.take_up(request.plan_id, request.user_id)
