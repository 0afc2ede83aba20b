"""The reconciler: asks the generators about reservations that no news came of, and never settles by time alone."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import assert_never
from uuid import UUID

import asyncpg
import structlog

from common.contracts.internal import PlanView
from common.generator_client import GeneratorClient, GeneratorUnavailableError
from common.postgres import Database
from plan_api import metrics
from plan_api.repository import batches, generations, idempotency, outbox, reservations
from plan_api.repository.reservations import Unsettled
from plan_api.settlement import Settlement
from plan_api.verdict import GiveUp, Patience, Republish, Settle, Wait, decide

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 3.0
# News that takes longer than this is taken for lost.
NEWS_SECONDS = 30.0
LONGEST_REDISPATCH_SECONDS = 600.0
# A caller is waiting to hear 402 or 429.
REFUSAL_BUDGET_SECONDS = 0.2
# What one query of the generator may hold.
BATCH = 500
ERASE_BATCH = 50

# One plan that cannot be settled must not keep the others from it: a row without a charge, a generator that refuses
# to cancel, an account that somebody changed by hand.
_OF_ONE_PLAN = (ValueError, GeneratorUnavailableError, asyncpg.IntegrityConstraintViolationError)


class Reconciler:
    """Holds plan-api's open reservations against the generator's rows."""

    def __init__(
        self, database: Database, generator: GeneratorClient, settlement: Settlement, patience: Patience
    ) -> None:
        self._database = database
        self._generator = generator
        self._settlement = settlement
        self._patience = patience

    async def run(self) -> None:
        """Sweep for ever.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away; run again.
        """
        while True:
            await self.sweep()
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret

    async def sweep(self, older_than_seconds: float = NEWS_SECONDS) -> None:
        """One round. A generator that does not answer ends it: then nothing is known, and nothing is done."""
        async with self._database.connection() as connection:
            await idempotency.purge(connection)
            await batches.purge(connection)
        try:
            async for plans in self._pages(older_than_seconds):
                await self._reconcile(plans)
            await self._erase_deleted()
        except GeneratorUnavailableError as error:
            _log.warning("reconcile.generator_unavailable", error=str(error))

    async def settle_ended_of(self, user_id: UUID) -> bool:
        """Settle the user's plans that have ended, within the budget of a refusal; answers whether there were any."""
        async with self._database.connection() as connection:
            plan_ids = await reservations.open_of_user(connection, user_id, BATCH)
        if not plan_ids:
            return False
        try:
            async with asyncio.timeout(REFUSAL_BUDGET_SECONDS):
                views = await self._generator.query(plan_ids, brief=True, timeout=REFUSAL_BUDGET_SECONDS)
        except (GeneratorUnavailableError, TimeoutError):
            return False
        ended = [await self._settle_from(view) for view in views.values()]
        return any(ended)

    async def _pages(self, older_than_seconds: float) -> AsyncIterator[list[Unsettled]]:
        last: Unsettled | None = None
        while True:
            async with self._database.connection() as connection:
                plans = await reservations.unsettled(connection, older_than_seconds, last, BATCH)
            if plans:
                yield plans
            if len(plans) < BATCH:
                return
            last = plans[-1]

    async def _reconcile(self, plans: list[Unsettled]) -> None:
        views = await self._generator.query([plan.plan_id for plan in plans], brief=True)
        _log.debug("reconcile.asked", reservations=len(plans), rows=len(views))
        for plan in plans:
            try:
                await self._act(plan, views.get(plan.plan_id))
            except _OF_ONE_PLAN as error:
                _log.error("reconcile.plan_failed", plan_id=str(plan.plan_id), error=repr(error))

    async def _act(self, plan: Unsettled, view: PlanView | None) -> None:
        idle = 0.0 if view is None else (datetime.now(UTC) - view.updated_at).total_seconds()
        verdict = decide(plan.mode, plan.age_seconds, plan.due, view, self._patience, idle)
        metrics.RECONCILED.labels(type(verdict).__name__.lower()).inc()
        match verdict:
            case Settle(outcome):
                await self._settlement.settle(outcome)
            case Republish():
                await self._republish(plan)
            case GiveUp(code):
                _log.warning("reconcile.gave_up", plan_id=str(plan.plan_id), code=code, age_seconds=plan.age_seconds)
                ended = await self._generator.cancel(plan.plan_id, plan.user_id, code=code, weeks=plan.weeks)
                await self._settle_from(ended)
            case Wait():
                pass
            case _:
                assert_never(verdict)

    async def _settle_from(self, view: PlanView) -> bool:
        try:
            return await self._settlement.settle_from(view)
        except ValueError as error:
            _log.error("reconcile.malformed_row", plan_id=str(view.plan_id), error=str(error))
            return False

    async def _republish(self, plan: Unsettled) -> None:
        async with self._database.transaction() as transaction:
            n = await reservations.redispatch(transaction, plan, NEWS_SECONDS, LONGEST_REDISPATCH_SECONDS)
            row = await generations.find(transaction, plan.plan_id)
            if n is None or row is None:
                return
            await outbox.insert(transaction, plan.plan_id, n, row.job().to_json())
        _log.info("reconcile.republished", plan_id=str(plan.plan_id), n=n)

    async def _erase_deleted(self) -> None:
        async with self._database.connection() as connection:
            plan_ids = await generations.to_erase(connection, ERASE_BATCH)
        for plan_id in plan_ids:
            try:
                await self._generator.erase(plan_id)
            except GeneratorUnavailableError as error:
                _log.warning("reconcile.erase_delayed", plan_id=str(plan_id), error=str(error))
                continue
            async with self._database.connection() as connection:
                await generations.mark_erased(connection, plan_id)
