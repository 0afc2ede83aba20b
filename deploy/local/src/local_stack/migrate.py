"""`python -m local_stack.migrate`: the migrations of all three services in one process.

What each service's own `migrate` does, without the start of three interpreters.
"""

import asyncio
import os
import sys
from importlib.resources import files

import asyncpg

from common.migrations import MigrationError, migrate
from local_stack.roles import SERVICES, service_url


async def main(admin_url: str) -> int:
    """Migrate service after service; the return value is the exit code."""
    for service in SERVICES:
        try:
            await migrate(admin_url, service_url(admin_url, service), service, files(service) / "migrations")
        except (MigrationError, asyncpg.PostgresError, OSError) as error:
            print(f"{service}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(os.environ["ADMIN_DATABASE_URL"])))
