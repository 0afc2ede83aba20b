"""The save that is written behind: many running plans at once, which is also how their leases live."""

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import ceil
from uuid import UUID

import orjson
import structlog

from common.postgres import UNAVAILABLE
from generator.identity import Saved
from generator.repository import SaveRepository
from generator.repository.saves import Held
from generator.run import Run

_log = structlog.get_logger(__name__)

# Between two saves of a plan; well inside the lease of 8 seconds.
INTERVAL_SECONDS = 0.8
# What is worth saving at once waits no longer than this for company, and what is due about as long again.
SHORTEST_SECONDS = 0.1
LOOK_SECONDS = 0.05
# A statement saves a quarter of the plans, or this many: Postgres would be busy with all of them for as long as a
# viewer notices.
SHARE = 0.25
FEWEST = 50
# Snapshots after an outage are spread over this time, so that gateways are not all asked at once.
JITTER_SECONDS = 2.0


class Saver:
    """Saves the runs that `running` lists; a run whose fence has fallen is stopped."""

    def __init__(self, repository: SaveRepository, running: Callable[[], Iterable[Run]]) -> None:
        self._repository = repository
        self._running = running
        self._wake = asyncio.Event()
        self._doubts = 0

    def soon(self) -> None:
        """Something is worth saving before the interval is over."""
        self._wake.set()

    def distrust(self) -> None:
        """We may have been away: nothing is said of any plan until its fenced write has matched (rule 7)."""
        self._doubts += 1
        suspended = 0
        for run in self._running():
            run.plan.distrust()
            suspended += 1
        _log.debug("publish.suspended", plans=suspended)
        self.soon()

    async def run(self) -> None:
        """Save what is due, for ever."""
        while True:
            with suppress(TimeoutError):  # nobody has asked, but some may be due
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            await self.save()
            await asyncio.sleep(SHORTEST_SECONDS)

    async def save(self) -> None:
        """Save what is due; while Postgres is away plans are kept in memory and tried again."""
        due = self._take_due(asyncio.get_running_loop().time())
        runs, rows = _rows(due)
        if not runs:
            return
        doubts = self._doubts
        try:
            held = await self._repository.save(list(rows.values()))
        except UNAVAILABLE as error:
            _log.warning("save.failed", plans=len(rows), error=repr(error))
            return
        _log.debug("save.done", plans=len(rows), held=len(held))
        stands = {item.plan_id: item for item in held}
        for plan_id, run in runs.items():
            if plan_id in stands:
                run.plan.saved(rows[plan_id])
                _note_watched(run, stands[plan_id])
                if doubts == self._doubts:
                    # Otherwise the doubt is younger than the write, which may have matched before we were away.
                    run.plan.trust_in(random.uniform(0, JITTER_SECONDS))  # noqa: S311 - jitter
            else:
                run.stop("fenced")

    def _take_due(self, now: float) -> list[Run]:
        """Whose turn it is, and who asks; of too many those that have waited longest, and the rest follows at once.

        So no lease is forgotten over plans that ask all the time.
        """
        running = [run for run in self._running() if not run.plan.ended]
        due = [run for run in running if run.plan.save_asked or run.plan.save_due <= now]
        most = max(FEWEST, ceil(len(running) * SHARE))
        if len(due) > most:
            due = sorted(due, key=lambda run: run.plan.save_due)[:most]
            self.soon()
        for run in due:
            run.plan.save_due = now + INTERVAL_SECONDS
        return due


def _note_watched(run: Run, held: Held) -> None:
    if held.watched_ago is not None:
        run.grace.watched(held.watched_ago, asyncio.get_running_loop().time())


def _rows(due: Iterable[Run]) -> tuple[dict[UUID, Run], dict[UUID, Saved]]:
    """The rows of a batch. One plan that cannot be written down must not keep the others from their leases."""
    runs: dict[UUID, Run] = {}
    rows: dict[UUID, Saved] = {}
    for run in due:
        try:
            rows[run.plan_id] = run.plan.to_save()
        except orjson.JSONEncodeError as error:
            _log.error("plan.cannot_be_saved", plan_id=str(run.plan_id), error=str(error))
            run.stop("broken")
        else:
            runs[run.plan_id] = run
    return runs, rows
