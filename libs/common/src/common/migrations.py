"""The one runner of migrations: an advisory lock, checksums, and a role and schema for each service.

A service's SQL files are `<package>/migrations/NNNN_name.sql`. They run as the administrator, who owns the tables;
the service's role may read and write rows, and nothing else.

`python -m common.migrations plan_api generator stream_gateway` does it for several services, one after the other: with
ADMIN_DATABASE_URL, and PLAN_API_DATABASE_URL and so on for the roles.
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import unquote, urlsplit

import asyncpg
import structlog

from common import logs

_log = structlog.get_logger(__name__)

# Roles belong to the whole server, so every service's run takes the same lock.
_LOCK = 0x706C616E


class MigrationError(RuntimeError):
    """The history of a schema does not match the files: one that has been applied was changed or is gone."""


# What `migrate` may fail with, beside mistakes of ours.
FAILURES: tuple[type[Exception], ...] = (MigrationError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(directory: Traversable) -> list[Migration]:
    """The SQL files of a service in their order.

    Raises:
        MigrationError: two files carry the same number.
    """
    files = sorted((file for file in directory.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    found = [Migration(int(file.name.split("_")[0]), file.name, file.read_text("utf-8")) for file in files]
    if len({migration.version for migration in found}) != len(found):
        raise MigrationError("two migrations have the same number")
    return found


async def migrate(admin_url: str, service_url: str, schema: str, directory: Traversable) -> list[str]:
    """Bring one service's schema up to date and return the names of the files applied.

    Args:
        admin_url: may create roles and schemas.
        service_url: its user and password are what the service's role gets.
        schema: the service's own.
        directory: the service's SQL files.

    Raises:
        MigrationError: history does not match the files.
    """
    connection = await asyncpg.connect(admin_url, timeout=10, server_settings={"lock_timeout": "60s"})
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        role = await _create_role(connection, service_url)
        applied = await _apply(connection, schema, read_migrations(directory))
        await _grant(connection, schema, role)
    finally:
        await connection.close()
    _log.info("migrations.done", schema=schema, applied=applied)
    return applied


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", schema: str, wanted: list[Migration]) -> list[str]:
    quoted = await connection.fetchval("SELECT quote_ident($1)", schema)
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
    await connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quoted}.schema_migrations (version int PRIMARY KEY, name text NOT NULL,"
        " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch(f"SELECT version, name, checksum FROM {quoted}.schema_migrations")  # noqa: S608 - quoted
    done = {row["version"]: row for row in rows}
    _check_history(done, wanted)
    applied = []
    for migration in wanted:
        if migration.version in done:
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                f"INSERT INTO {quoted}.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",  # noqa: S608
                migration.version,
                migration.name,
                migration.checksum,
            )
        applied.append(migration.name)
    return applied


def _check_history(done: dict[int, asyncpg.Record], wanted: list[Migration]) -> None:
    # What is newer than every file was applied by a newer release: this one may still run.
    newest = max((migration.version for migration in wanted), default=0)
    gone = done.keys() - {migration.version for migration in wanted}
    if missing := sorted(version for version in gone if version < newest):
        raise MigrationError(f"{done[missing[0]]['name']} has been applied, and its file is gone; put it back")
    for migration in wanted:
        row = done.get(migration.version)
        if row is not None and row["checksum"] != migration.checksum:
            raise MigrationError(f"{migration.name} was changed after it had been applied; add a new file instead")


async def _create_role(connection: "asyncpg.Connection[asyncpg.Record]", service_url: str) -> str:
    parts = urlsplit(service_url)
    role, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not role:
        raise MigrationError("DATABASE_URL names no user: each service has a role of its own")
    if role == await connection.fetchval("SELECT current_user"):
        return role
    exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if exists else "CREATE"
    # It may do nothing else by default. To say so would take an administrator who may make databases as well.
    statement = await connection.fetchval(
        "SELECT format($1, $2::text, $3::text)", f"{verb} ROLE %I LOGIN PASSWORD %L", role, password
    )
    await connection.execute(statement)
    return role


async def _grant(connection: "asyncpg.Connection[asyncpg.Record]", schema: str, role: str) -> None:
    database = await connection.fetchval("SELECT current_database()")
    statements = (
        "GRANT CONNECT ON DATABASE %3$I TO %2$I",
        "GRANT USAGE ON SCHEMA %1$I TO %2$I",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO %2$I",
        "REVOKE ALL ON %1$I.schema_migrations FROM %2$I",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA %1$I TO %2$I",
    )
    for template in statements:
        statement = "SELECT format($1, $2::text, $3::text, $4::text)"
        await connection.execute(await connection.fetchval(statement, template, schema, role, database))


def main(packages: Sequence[str], environment: Mapping[str, str]) -> int:
    """Migrate service after service; the return value is the exit code."""
    logs.configure("migrations", "info")
    variables = {package: f"{package.upper()}_DATABASE_URL" for package in packages}
    missing = [name for name in ("ADMIN_DATABASE_URL", *variables.values()) if not environment.get(name)]
    if missing or not packages:
        print(f"migrations need in the environment: {', '.join(missing) or 'services to migrate'}", file=sys.stderr)  # noqa: T201
        return 2
    for package, variable in variables.items():
        work = migrate(environment["ADMIN_DATABASE_URL"], environment[variable], package, files(package) / "migrations")
        try:
            asyncio.run(work)
        except FAILURES as error:
            print(f"{package}: migrations: {error or repr(error)}", file=sys.stderr)  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
