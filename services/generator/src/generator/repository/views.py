"""Reading plans: the stored row as the others see it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from common.contracts.events import Progress, Usage
from common.contracts.internal import PlanView
from common.postgres import Database

_FACTS = """plan_id, user_id, status, ended_as, attempt, seq, progress, usage, weeks, code, charge,
    updated_at, deleted_at, status = 'generating' AND (owner IS NULL OR lease_until < now()) AS lease_expired"""

COLUMNS = f"{_FACTS}, content, partial_content"
# Without the documents: they are neither read, sent nor decoded.
BRIEF_COLUMNS = f"{_FACTS}, NULL AS content, NULL AS partial_content"

# Rows are locked in id order, as the batch save does, so that a mark and a save never wait for each other in a circle.
# It waits rather than skips: a save holds its locks for milliseconds, and a mark that is lost while NATS is down brings
# the plan closer to being taken for abandoned. NO KEY: the lock that this UPDATE takes anyway.
_MARK_WATCHED = """
WITH marked AS (
    SELECT plan_id FROM generator.monthly_plans WHERE plan_id = ANY($1::uuid[]) AND status = 'generating'
    ORDER BY plan_id FOR NO KEY UPDATE
)
UPDATE generator.monthly_plans p SET watched_at = now() FROM marked WHERE p.plan_id = marked.plan_id
"""


def to_view(row: asyncpg.Record) -> PlanView:
    """A row with COLUMNS or BRIEF_COLUMNS as the contract's view."""
    running = row["status"] == "generating"
    progress = _progress_of(row, running=running)
    return PlanView(
        plan_id=row["plan_id"],
        user_id=row["user_id"],
        status=row["status"],
        ended_as=row["ended_as"],
        phase=progress.phase if running else None,
        attempt=row["attempt"],
        seq=row["seq"],
        plan=document_of(row),
        progress=progress,
        usage=Usage.model_validate(row["usage"]) if row["usage"] else None,
        code=row["code"],
        charge=row["charge"],
        lease_expired=row["lease_expired"],
        updated_at=row["updated_at"],
    )


def _progress_of(row: asyncpg.Record, *, running: bool) -> Progress:
    """What a viewer may be shown: while events go on, no more than they say; see `generator.meter`."""
    stored = row["progress"]
    if not stored:
        progress = Progress.queued(row["weeks"])
        return progress if running else progress.model_copy(update={"phase": None})
    reached = {} if running else {"phase": None, "percent": stored.get("reached", stored["percent"])}
    return Progress.model_validate(stored | reached)


def document_of(row: asyncpg.Record) -> Any:
    """The whole document, or what has been written of it, or None."""
    if row["content"] is not None:
        return row["content"]
    return orjson.loads(row["partial_content"]) if row["partial_content"] else None


class ViewRepository:
    """Reads; deleted plans are not found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def view(self, plan_id: UUID) -> PlanView | None:
        """One plan, or None."""
        row = await self._database.fetchrow(
            f"SELECT {COLUMNS} FROM generator.monthly_plans WHERE plan_id = $1 AND deleted_at IS NULL",  # noqa: S608
            plan_id,
        )
        return None if row is None else to_view(row)

    async def views(self, plan_ids: Sequence[UUID], *, watched: bool, brief: bool) -> list[PlanView]:
        """The plans that exist; `watched` marks the running ones as having viewers somewhere.

        Who has viewers hears of deleted plans, too: without their content, but with their end.
        """
        if watched:
            await self._database.execute(_MARK_WATCHED, plan_ids)
        rows = await self._database.fetch(
            f"SELECT {BRIEF_COLUMNS if brief else COLUMNS} FROM generator.monthly_plans"  # noqa: S608 - constants
            " WHERE plan_id = ANY($1::uuid[]) AND (deleted_at IS NULL OR $2)",
            plan_ids,
            watched,
        )
        return [to_view(row) for row in rows]
