"""Collecting a run's history: the services' rows, every version of them, and what the emulator served."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson

from local_stack import Stack
from testkit.history import (
    Account,
    GenerationRow,
    History,
    LedgerRow,
    PlanRow,
    RowVersion,
    Upstream,
    UpstreamRow,
)
from testkit.load import Load

# Each write of the generator's rows is kept, so that no state can come and go unseen. The function runs as its owner,
# because the service's role has no business in this schema.
_RECORD_VERSIONS = """
CREATE SCHEMA evidence;
CREATE TABLE evidence.versions (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL, plan_id uuid NOT NULL, status text NOT NULL,
    attempt int NOT NULL, seq int NOT NULL, owner uuid
);
CREATE FUNCTION evidence.keep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO evidence.versions (at, plan_id, status, attempt, seq, owner)
    VALUES (clock_timestamp(), NEW.plan_id, NEW.status, NEW.attempt, NEW.seq, NEW.owner);
    RETURN NULL;
END $$;
CREATE TRIGGER keep_versions AFTER INSERT OR UPDATE ON generator.monthly_plans
    FOR EACH ROW EXECUTE FUNCTION evidence.keep();
"""

_GENERATIONS = "SELECT plan_id, user_id, status, quota_state FROM plan_api.generations WHERE user_id = ANY($1)"
_ACCOUNTS = """
SELECT user_id, sum(used)::int AS used, sum(reserved)::int AS reserved FROM plan_api.quota_accounts
WHERE user_id = ANY($1) GROUP BY user_id
"""
_LEDGER = """
SELECT plan_id, user_id, kind, used_delta, reserved_delta FROM plan_api.quota_ledger WHERE user_id = ANY($1)
"""
_PLANS = """
SELECT plan_id, status, ended_as, attempt, seq, content::text AS content, partial_content, charge, code, completed_at
FROM generator.monthly_plans WHERE plan_id = ANY($1)
"""
_VERSIONS = """
SELECT plan_id, at, status, attempt, seq, owner FROM evidence.versions WHERE plan_id = ANY($1) ORDER BY id
"""
_CALLS = "SELECT plan_id, generation_id FROM generator.upstream_calls WHERE plan_id = ANY($1)"
_OPEN = "SELECT count(*) FROM plan_api.generations WHERE user_id = ANY($1) AND quota_state = 'reserved'"


async def record_versions(stack: Stack) -> None:
    """From now on keep every version of the generator's rows."""
    admin = await asyncpg.connect(stack.addresses.admin_url)
    try:
        await admin.execute(_RECORD_VERSIONS)
    finally:
        await admin.close()


async def unsettled(stack: Stack, users: Sequence[UUID]) -> int:
    """How many reservations are still open."""
    admin = await asyncpg.connect(stack.addresses.admin_url)
    try:
        count: int = await admin.fetchval(_OPEN, users)
    finally:
        await admin.close()
    return count


async def collect(
    stack: Stack,
    load: Load,
    grace_seconds: float,
    *,
    frozen: Sequence[tuple[float, float]] = (),
    unheard: Sequence[tuple[float, float]] = (),
) -> History:
    """Everything that is known of a load, also of plans that were accepted without the user hearing of it."""
    admin = await asyncpg.connect(stack.addresses.admin_url)
    try:
        generations = await admin.fetch(_GENERATIONS, load.users)
        plan_ids = sorted({row["plan_id"] for row in generations} | {plan.plan_id for plan in load.accepted})
        return History(
            plans=load.accepted,
            viewers=[viewer.log for viewer in load.viewers],
            rows={row["plan_id"]: _plan(row) for row in await admin.fetch(_PLANS, plan_ids)},
            versions=[
                RowVersion(**(dict(row) | {"at": row["at"].timestamp()}))
                for row in await admin.fetch(_VERSIONS, plan_ids)
            ],
            generations=[GenerationRow(**row) for row in generations],
            ledger=[LedgerRow(**row) for row in await admin.fetch(_LEDGER, load.users)],
            accounts={
                row["user_id"]: Account(row["used"], row["reserved"])
                for row in await admin.fetch(_ACCOUNTS, load.users)
            },
            upstream=await served(stack, set(plan_ids)),
            booked=[UpstreamRow(**row) for row in await admin.fetch(_CALLS, plan_ids)],
            calls=[caller.log for caller in load.callers],
            grace_seconds=grace_seconds,
            frozen=frozen,
            unheard=unheard,
        )
    finally:
        await admin.close()


async def served(stack: Stack, plan_ids: set[UUID]) -> list[Upstream]:
    """What the emulator served of these plans."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{stack.addresses.emulator_control}/stats", params={"limit": 10_000})
    generations: dict[str, dict[str, Any]] = answer.json()["generations"]
    return [
        Upstream(generation_id, UUID(one["session_id"]), one["created"], one["ended"], _is_broken(one))
        for generation_id, one in generations.items()
        if one["session_id"] is not None and UUID(one["session_id"]) in plan_ids
    ]


def _is_broken(answer: dict[str, Any]) -> bool:
    return bool(answer["outcome"] == "failed" or answer["finish_reason"] == "length")


def _plan(row: asyncpg.Record) -> PlanRow:
    text = row["content"] or row["partial_content"]
    completed: datetime | None = row["completed_at"]
    return PlanRow(
        plan_id=row["plan_id"],
        status=row["status"],
        ended_as=row["ended_as"],
        attempt=row["attempt"],
        seq=row["seq"],
        document=orjson.loads(text) if text else None,
        charge=row["charge"],
        code=row["code"],
        completed_at=None if completed is None else completed.timestamp(),
    )
