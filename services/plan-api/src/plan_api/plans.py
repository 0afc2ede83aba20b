"""A user's plans: the list, one plan with its content, deletion."""

from datetime import UTC, datetime
from uuid import UUID

import structlog

from common.contracts.errors import ErrorCode, PlanError
from common.contracts.events import Progress
from common.contracts.internal import PlanView
from common.contracts.public import PlanDetail, PlanPage, PlanSummary
from common.generator_client import GeneratorClient, GeneratorUnavailableError, generators_unavailable
from common.postgres import Database
from common.problems import ApiError
from plan_api import cursor
from plan_api.repository import generations, outbox
from plan_api.repository.generations import GenerationRow
from plan_api.settlement import Settlement

_log = structlog.get_logger(__name__)


class Plans:
    """Reads and deletes; the content is the generator's."""

    def __init__(self, database: Database, generator: GeneratorClient, settlement: Settlement) -> None:
        self._database = database
        self._generator = generator
        self._settlement = settlement

    async def generation(self, plan_id: UUID, user_id: UUID | None = None) -> GenerationRow:
        """What plan-api knows of a plan; with `user_id`, only if it is that user's.

        Raises:
            ApiError: not_found, also for a deleted plan and another user's.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        async with self._database.connection() as connection:
            row = await generations.find(connection, plan_id)
        if row is None or (user_id is not None and row.user_id != user_id):
            raise ApiError(ErrorCode.NOT_FOUND, "There is no plan with this id.")
        return row

    async def page(self, user_id: UUID, limit: int, after: str | None) -> PlanPage:
        """The user's plans, newest first.

        Raises:
            ApiError: invalid_input, for a cursor that is not ours.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        try:
            position = None if after is None else cursor.decode(after)
        except ValueError as error:
            raise ApiError(ErrorCode.INVALID_INPUT, "cursor: not one that an earlier page gave.") from error
        async with self._database.connection() as connection:
            rows = await generations.page(connection, user_id, position, limit + 1)
        shown = rows[:limit]
        more = len(rows) > limit
        return PlanPage(
            plans=[_summary(row) for row in shown],
            next_cursor=cursor.encode(shown[-1].created_at, shown[-1].plan_id) if more else None,
        )

    async def detail(self, user_id: UUID, plan_id: UUID) -> PlanDetail:
        """One plan with its content; settles it when the generator knows of its end and we did not.

        Raises:
            ApiError: not_found; unavailable, when no generator answers.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        row = await self.generation(plan_id, user_id)
        try:
            view = await self._generator.view(plan_id)
        except GeneratorUnavailableError as error:
            raise generators_unavailable() from error
        if view is not None and row.reserved and await self._settlement.settle_from(view):
            row = await self.generation(plan_id, user_id)
        return _detail(row, view)

    async def delete(self, user_id: UUID, plan_id: UUID) -> None:
        """Cancel the plan if it runs, settle it, hide it, erase it.

        Raises:
            ApiError: not_found; unavailable, when it runs and no generator answers: then nothing has changed.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        row = await self.generation(plan_id, user_id)
        if row.reserved:
            await self._cancel(row)
        async with self._database.transaction() as transaction:
            await outbox.delete_of_plan(transaction, plan_id)
            await generations.soft_delete(transaction, plan_id)
        _log.info("plan.deleted", plan_id=str(plan_id))
        try:
            await self._generator.erase(plan_id)
        except GeneratorUnavailableError as error:
            # The reconciler erases what is left.
            _log.warning("plan.erase_delayed", plan_id=str(plan_id), error=str(error))
            return
        async with self._database.connection() as connection:
            await generations.mark_erased(connection, plan_id)

    async def _cancel(self, row: GenerationRow) -> None:
        try:
            view = await self._generator.cancel(row.plan_id, row.user_id, weeks=row.weeks)
        except GeneratorUnavailableError as error:
            raise generators_unavailable() from error
        if not await self._settlement.settle_from(view):
            raise generators_unavailable()


def _summary(row: GenerationRow) -> PlanSummary:
    return PlanSummary(
        plan_id=row.plan_id,
        preference_id=row.preference_id,
        status=row.status,
        mode=row.mode,
        weeks=row.weeks,
        created_at=row.created_at,
        ended_at=row.ended_at,
        code=row.code,
    )


def _detail(row: GenerationRow, view: PlanView | None) -> PlanDetail:
    return PlanDetail(
        plan_id=row.plan_id,
        preference_id=row.preference_id,
        user_id=row.user_id,
        status=row.status,
        plan=None if view is None else view.plan,
        progress=_queued(row) if view is None else view.progress,
        usage=None if view is None else view.usage,
        error=PlanError.of(row.code) if row.status == "failed" and row.code else None,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _queued(row: GenerationRow) -> Progress:
    elapsed = datetime.now(UTC) - row.created_at
    return Progress(
        phase="queued" if row.reserved else None,
        weeks_completed=0,
        weeks_total=row.weeks,
        percent=0,
        chars=0,
        tokens_per_second=0,
        elapsed_ms=max(0, int(elapsed.total_seconds() * 1000)) if row.reserved else 0,
    )
