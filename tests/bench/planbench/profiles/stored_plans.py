"""Plans of other days in every service's slice, written straight into the tables: what a year of use leaves behind."""

from uuid import UUID

import asyncpg

_USERS_PLANS = 30
# The same ids in every slice follow from a number and a salt, so that the slices agree without being read.
_PLAN_ID = "md5('plan' || $2::text || n)::uuid"
_USER_ID = f"coalesce($3::uuid, md5('user' || $2::text || n / {_USERS_PLANS})::uuid)"
_PREFERENCE_ID = "md5('preference' || $2::text || n)::uuid"
_DAY = "now() - interval '40 days' - n * interval '1 second'"
_PERIOD = "date_trunc('month', now() - interval '40 days')::date"

_FILL = (
    f"INSERT INTO plan_api.user_goals_and_preferences (id, user_id, preferences, created_at) "
    f'SELECT {_PREFERENCE_ID}, {_USER_ID}, \'{{"goals": "Read more", "weeks": 4}}\', {_DAY} '
    f"FROM generate_series(1, $1::int) n",
    f"INSERT INTO plan_api.quota_accounts (user_id, period, used) "
    f"SELECT DISTINCT {_USER_ID}, {_PERIOD}, {_USERS_PLANS} FROM generate_series(1, $1::int) n "
    f"ON CONFLICT DO NOTHING",
    f"INSERT INTO plan_api.generations (plan_id, user_id, preference_id, mode, weeks, preferences, on_disconnect, "
    f"status, quota_state, period, next_dispatch_at, created_at, ended_at) "
    f"SELECT {_PLAN_ID}, {_USER_ID}, {_PREFERENCE_ID}, 'stream', 4, '{{\"goals\": \"Read more\"}}', 'abort', "
    f"'completed', 'used', {_PERIOD}, {_DAY}, {_DAY}, {_DAY} FROM generate_series(1, $1::int) n",
    f"INSERT INTO generator.monthly_plans (plan_id, user_id, status, content, attempt, ended_as, charge, outcome_id, "
    f"announced_at, updated_at, completed_at) "
    f"SELECT {_PLAN_ID}, {_USER_ID}, 'completed', '{{\"monthly_summary\": \"Read more\"}}', 1, 'complete', 'used', "
    f"gen_random_uuid(), now(), {_DAY}, {_DAY} FROM generate_series(1, $1::int) n",
    f"INSERT INTO stream_gateway.plan_streams (plan_id, user_id, created_at) "
    f"SELECT {_PLAN_ID}, {_USER_ID}, {_DAY} FROM generate_series(1, $1::int) n",
)
_BATCH = 50_000


async def fill(admin_url: str, rows: int, user: UUID | None = None) -> None:
    """Add so many ended plans to each slice: all of one user's, or thirty to each of many users."""
    connection = await asyncpg.connect(admin_url)
    try:
        done = 0
        while done < rows:
            size = min(_BATCH, rows - done)
            salt = str(await connection.fetchval("SELECT gen_random_uuid()::text"))
            async with connection.transaction():
                for statement in _FILL:
                    await connection.execute(statement, size, salt, user, timeout=600)
            done += size
        await connection.execute("VACUUM ANALYZE", timeout=600)
    finally:
        await connection.close()
