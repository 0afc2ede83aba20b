"""What is left of a plan that was deleted, or is over RETENTION_DAYS: looked for in every table of every service."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from local_stack import Stack
from testkit import OpenStack, User

pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]

SCHEMAS = ("plan_api", "generator", "stream_gateway")
# An empty row each, by which late jobs and news are refused; and what the books of the month say of it.
TOMBSTONES = {
    "generator.monthly_plans",
    "generator.upstream_calls",
    "stream_gateway.erased_plans",
    "plan_api.generations",
    "plan_api.quota_ledger",
    "plan_api.idempotency_keys",
}
_TABLES = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY($1::text[]) ORDER BY 1"
_BACKDATE = """
SELECT format('UPDATE %I.%I SET %s', table_schema, table_name,
              string_agg(format('%1$I = %1$I - interval ''100 days''', column_name), ', '))
FROM information_schema.columns
WHERE table_schema = ANY($1::text[]) AND data_type = 'timestamp with time zone' AND table_name <> 'schema_migrations'
GROUP BY table_schema, table_name
"""


async def tables_with(admin: "asyncpg.Connection[asyncpg.Record]", *words: str) -> set[str]:
    """The tables in which one of these words stands, in any column, also in bytes."""
    found = set()
    for row in await admin.fetch(_TABLES, SCHEMAS):
        patterns = [f"%{form}%" for word in words for form in (word, word.encode().hex())]
        if await admin.fetchval(f"SELECT true FROM {row[0]} t WHERE t::text LIKE ANY($1::text[]) LIMIT 1", patterns):
            found.add(row[0])
    return found


async def watched_plan(user: User, goals: str) -> tuple[UUID, str]:
    """A plan that somebody has watched to its end; its id, and words that stand in it alone."""
    plan_id = await user.start(goals=goals, focusAreas=[goals])
    viewer = user.viewer(plan_id)
    await viewer.watch()
    assert viewer.names[-1] == "complete"
    assert goals in str(viewer.plan)
    return plan_id, goals


async def test_a_deleted_plan_is_in_no_table(stack: Stack) -> None:
    """Neither its words nor the inputs' copies; its id stands in the tombstones alone; another's plan is untouched."""
    marks = [f"Marimba {uuid4().hex}", f"Marimba {uuid4().hex}"]
    admin = await asyncpg.connect(stack.addresses.admin_url)
    try:
        async with User.at(stack.gateway) as user, User.at(stack.gateway) as other:
            (gone, said), (kept, kept_words) = await watched_plan(user, marks[0]), await watched_plan(other, marks[1])
            before = await tables_with(admin, kept_words, str(kept))
            assert await tables_with(admin, said) == {
                "generator.monthly_plans",
                "plan_api.generations",
                "plan_api.user_goals_and_preferences",
            }
            assert "stream_gateway.stream_sessions" in await tables_with(admin, str(gone))
            assert (await user.http.delete(f"/api/plan/plans/{gone}")).status_code == 204
            async with asyncio.timeout(10):
                while not await tables_with(admin, str(gone)) <= TOMBSTONES:
                    await asyncio.sleep(0.1)
            # The inputs are the user's own, and may be used again.
            assert await tables_with(admin, said) == {"plan_api.user_goals_and_preferences"}
            assert await tables_with(admin, kept_words, str(kept)) == before
    finally:
        await admin.close()


async def restart(stack: Stack, *names: str) -> None:
    """End and start processes, which sweep as they start."""
    for name in names:
        await stack.stop(name)
        await stack.start(name)


async def test_nothing_is_kept_beyond_its_age(open_stack: OpenStack) -> None:
    """With RETENTION_DAYS a user of a hundred days ago is in no table of any service; one of today is, whole."""
    async with open_stack({"RETENTION_DAYS": "30"}) as stack:
        admin = await asyncpg.connect(stack.addresses.admin_url)
        async with User.at(stack.gateway) as past, User.at(stack.gateway) as present:
            plan_id, words = await watched_plan(past, f"Marimba {uuid4().hex}")
            async with asyncio.timeout(10):
                while (await past.quota())["used"] < 1:
                    await asyncio.sleep(0.05)
            for (statement,) in await admin.fetch(_BACKDATE, SCHEMAS):
                await admin.execute(statement)
            await admin.execute("SET session_replication_role = replica")
            for table in ("quota_accounts", "quota_ledger", "generations"):
                await admin.execute(f"UPDATE plan_api.{table} SET period = period - interval '4 months'")
            await admin.execute("SET session_replication_role = origin")
            still, still_words = await watched_plan(present, f"Marimba {uuid4().hex}")

            await restart(stack, "plan-api")
            async with asyncio.timeout(20):
                while "generator.monthly_plans" in await tables_with(admin, words):
                    await asyncio.sleep(0.1)
            assert await tables_with(admin, words) == set()
            await admin.execute("UPDATE generator.monthly_plans SET deleted_at = deleted_at - interval '2 days'")
            await restart(stack, "generator-1", "gateway-1", "plan-api")
            async with asyncio.timeout(20):
                while await tables_with(admin, str(past.id), str(plan_id)):
                    await asyncio.sleep(0.1)
            assert (await present.plan(still))["status"] == "completed"
            assert "generator.monthly_plans" in await tables_with(admin, still_words)
        await admin.close()
