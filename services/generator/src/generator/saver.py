"""The save that is written behind: all running plans at once, which is also how their leases live."""

import asyncio
import random
from collections.abc import Callable, Iterable

import structlog

from common.postgres import UNAVAILABLE
from generator.repository import SaveRepository
from generator.repository.saves import Held
from generator.run import Run

_log = structlog.get_logger(__name__)

# Well inside the lease of 8 seconds; a completed week is saved at once, but not more often than this.
INTERVAL_SECONDS = 0.75
SHORTEST_SECONDS = 0.1
# Snapshots after an outage are spread over this time, so that gateways are not all asked at once.
JITTER_SECONDS = 2.0


class Saver:
    """Saves the runs that `running` lists; a run whose fence has fallen is stopped."""

    def __init__(self, repository: SaveRepository, running: Callable[[], Iterable[Run]]) -> None:
        self._repository = repository
        self._running = running
        self._wake = asyncio.Event()

    def soon(self) -> None:
        """Something is worth saving before the interval is over."""
        self._wake.set()

    def distrust(self) -> None:
        """We may have been away: nothing is said of any plan until its fenced write has matched (rule 7)."""
        for run in self._running():
            run.plan.suspect = True
        self.soon()

    async def run(self) -> None:
        """Save at each interval, for ever."""
        while True:
            try:
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self.save()
            await asyncio.sleep(SHORTEST_SECONDS)

    async def save(self) -> None:
        """Save once; while Postgres is away plans are kept in memory and tried again."""
        runs = {run.plan_id: run for run in self._running() if not run.plan.ended}
        if not runs:
            return
        rows = {plan_id: run.plan.to_save() for plan_id, run in runs.items()}
        try:
            held = await self._repository.save(list(rows.values()))
        except UNAVAILABLE as error:
            _log.warning("save.failed", plans=len(rows), error=repr(error))
            return
        stands = {item.plan_id: item for item in held}
        for plan_id, run in runs.items():
            if plan_id in stands:
                run.plan.saved(rows[plan_id])
                _heard(run, stands[plan_id])
            else:
                run.stop("fenced")


def _heard(run: Run, held: Held) -> None:
    if held.watched_ago is not None:
        run.grace.watched(held.watched_ago, asyncio.get_running_loop().time())
    if run.plan.suspect:
        asyncio.get_running_loop().call_later(random.uniform(0, JITTER_SECONDS), run.plan.trust)  # noqa: S311 - jitter
