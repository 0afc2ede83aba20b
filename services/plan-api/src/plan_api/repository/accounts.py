"""Table `quota_accounts`."""

from datetime import date
from uuid import UUID

from common.postgres import Connection
from plan_api.quota import Account

# A new month begins with the limit the user had last.
_OPEN = """
INSERT INTO plan_api.quota_accounts (user_id, period, plan_limit)
VALUES ($1, $2, (SELECT plan_limit FROM plan_api.quota_accounts
                 WHERE user_id = $1 AND period < $2 ORDER BY period DESC LIMIT 1))
ON CONFLICT (user_id, period) DO NOTHING
"""

_LOCK = "SELECT used, reserved, plan_limit FROM plan_api.quota_accounts WHERE user_id = $1 AND period = $2 FOR UPDATE"

_READ = """
SELECT period, used, reserved, plan_limit FROM plan_api.quota_accounts
WHERE user_id = $1 AND period <= $2 ORDER BY period DESC LIMIT 1
"""

_SET_LIMIT = """
INSERT INTO plan_api.quota_accounts (user_id, period, plan_limit) VALUES ($1, $2, $3)
ON CONFLICT (user_id, period) DO UPDATE SET plan_limit = EXCLUDED.plan_limit
"""


async def lock(connection: Connection, user_id: UUID, period: date) -> Account:
    """The user's account, opened when it is new; nobody else changes it until the transaction ends."""
    await connection.execute(_OPEN, user_id, period)
    row = await connection.fetchrow(_LOCK, user_id, period)
    assert row is not None
    return Account(row["used"], row["reserved"], row["plan_limit"])


async def read(connection: Connection, user_id: UUID, period: date) -> Account:
    """The user's account as it stands, or as it would open."""
    row = await connection.fetchrow(_READ, user_id, period)
    if row is None:
        return Account(0, 0, None)
    if row["period"] != period:
        return Account(0, 0, row["plan_limit"])
    return Account(row["used"], row["reserved"], row["plan_limit"])


async def set_limit(connection: Connection, user_id: UUID, period: date, plan_limit: int | None) -> None:
    """Give the user a limit from this period on; None: the service's default."""
    await connection.execute(_SET_LIMIT, user_id, period, plan_limit)
