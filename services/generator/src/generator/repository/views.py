"""Reading plans: the stored row as the others see it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from common.contracts.events import Progress, Usage
from common.contracts.internal import PlanView

COLUMNS = """plan_id, user_id, status, ended_as, attempt, seq, content, partial_content, progress, usage, weeks,
    code, charge, updated_at, deleted_at,
    status = 'generating' AND (owner IS NULL OR lease_until < now()) AS lease_expired"""


def to_view(row: asyncpg.Record, *, brief: bool = False) -> PlanView:
    """A row with COLUMNS as the contract's view."""
    progress = Progress.model_validate(row["progress"]) if row["progress"] else Progress.queued(row["weeks"])
    running = row["status"] == "generating"
    return PlanView(
        plan_id=row["plan_id"],
        user_id=row["user_id"],
        status=row["status"],
        ended_as=row["ended_as"],
        phase=progress.phase if running else None,
        attempt=row["attempt"],
        seq=row["seq"],
        plan=None if brief else document_of(row),
        progress=progress if running else progress.model_copy(update={"phase": None}),
        usage=Usage.model_validate(row["usage"]) if row["usage"] else None,
        code=row["code"],
        charge=row["charge"],
        lease_expired=row["lease_expired"],
        updated_at=row["updated_at"],
    )


def document_of(row: asyncpg.Record) -> Any:
    """The whole document, or what has been written of it, or None."""
    if row["content"] is not None:
        return row["content"]
    return orjson.loads(row["partial_content"]) if row["partial_content"] else None


class ViewRepository:
    """Reads; deleted plans are not found."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def view(self, plan_id: UUID) -> PlanView | None:
        """One plan, or None."""
        row = await self._pool.fetchrow(
            f"SELECT {COLUMNS} FROM generator.monthly_plans WHERE plan_id = $1 AND deleted_at IS NULL",  # noqa: S608
            plan_id,
        )
        return None if row is None else to_view(row)

    async def views(self, plan_ids: Sequence[UUID], *, watched: bool, brief: bool) -> list[PlanView]:
        """The plans that exist; `watched` marks the running ones as having viewers somewhere."""
        if watched:
            await self._pool.execute(
                "UPDATE generator.monthly_plans SET watched_at = now()"
                " WHERE plan_id = ANY($1::uuid[]) AND status = 'generating'",
                plan_ids,
            )
        rows = await self._pool.fetch(
            f"SELECT {COLUMNS} FROM generator.monthly_plans"  # noqa: S608 - constant
            " WHERE plan_id = ANY($1::uuid[]) AND deleted_at IS NULL",
            plan_ids,
        )
        return [to_view(row, brief=brief) for row in rows]
