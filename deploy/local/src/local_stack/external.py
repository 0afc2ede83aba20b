"""Servers that were given instead of the embedded ones: are they there, and may we do what we must?"""

from urllib.parse import urlsplit

import asyncpg

from local_stack.errors import StackError
from local_stack.nats import speaks_jetstream

_CONNECT_SECONDS = 5
_MAY_MIGRATE = """
SELECT quote_ident(current_user), quote_ident(current_database()),
       (rolsuper OR rolcreaterole) AND has_database_privilege(current_database(), 'CREATE')
FROM pg_roles WHERE rolname = current_user
"""


async def check_database(admin_url: str) -> None:
    """See that the migrations can do their work.

    Raises:
        StackError: it cannot be reached, or its user may not create roles and schemas.
    """
    try:
        connection = await asyncpg.connect(admin_url, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StackError(f"DATABASE_URL: no connection to {_where(admin_url)}: {error or 'no answer'}.") from None
    try:
        user, database, able = await connection.fetchrow(_MAY_MIGRATE)  # type: ignore[misc]  # always one row
    finally:
        await connection.close()
    if not able:
        raise StackError(
            f"DATABASE_URL: each service gets a role and a schema of its own, and {user} may not create them."
            f" Let an administrator say: ALTER ROLE {user} CREATEROLE; GRANT CREATE ON DATABASE {database} TO {user};"
        )


async def check_nats(urls: str) -> None:
    """See that one of the servers answers, with JetStream.

    Raises:
        StackError: none does.
    """
    for url in urls.split(","):
        parts = urlsplit(url.strip() if "//" in url else f"nats://{url.strip()}")
        if parts.hostname and await speaks_jetstream(parts.hostname, parts.port or 4222):
            return
    raise StackError(f"NATS_URL: no NATS server with JetStream answers at {', '.join(map(_where, urls.split(',')))}.")


def _where(url: str) -> str:
    """The address without user and password."""
    return url.strip().rpartition("//")[2].rpartition("@")[2].partition("/")[0] or "the given address"
