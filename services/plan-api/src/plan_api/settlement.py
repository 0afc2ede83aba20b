"""Settlement: a reservation becomes used or released, exactly once, whoever brings the news."""

import asyncpg
import structlog

from common.contracts.internal import PlanView
from common.contracts.messages import Outcome
from common.postgres import Database
from plan_api import metrics
from plan_api.repository import reservations
from plan_api.verdict import outcome_of

_log = structlog.get_logger(__name__)


class Settlement:
    """Writes the end of a plan into plan-api's slice. The charge is the terminal row's; nothing is decided here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def settle(self, outcome: Outcome) -> bool:
        """Settle; False when there was nothing left to settle.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away; bring the news again.
        """
        async with self._database.connection() as connection:
            settled = await reservations.settle(connection, outcome)
        if settled:
            metrics.SETTLED.labels(outcome.status, outcome.charge).inc()
            _log.info(
                "plan.settled",
                plan_id=str(outcome.plan_id),
                attempt=outcome.attempt,
                status=outcome.status,
                charge=outcome.charge,
                code=outcome.code,
            )
        return settled

    async def settle_from(self, view: PlanView) -> bool:
        """Settle if the generator's row is terminal; answers whether it is.

        Raises:
            common.postgres.UNAVAILABLE: as `settle`.
            ValueError: the row is terminal and does not say what to charge.
        """
        outcome = outcome_of(view)
        if outcome is None:
            return False
        try:
            await self.settle(outcome)
        except asyncpg.IntegrityConstraintViolationError as error:
            # An account that somebody changed by hand: the plan stays reserved, and has ended all the same.
            _log.error("settlement.does_not_fit", plan_id=str(view.plan_id), error=repr(error))
        return True
