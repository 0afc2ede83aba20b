"""What a service's role may do in Postgres, and that an administrator need not be a superuser."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from urllib.parse import urlsplit

import asyncpg
import pytest

from common.migrations import migrate
from local_stack.roles import SERVICES, service_url

Migrate = Callable[[str], Awaitable[str]]


@pytest.fixture
async def addresses(migrated: Migrate) -> dict[str, str]:
    """The services' own addresses of a database with all three schemas."""
    return {service: await migrated(service) for service in SERVICES}


REFUSED = {
    "another's rows": "SELECT * FROM {other}.schema_migrations",
    "its own history": "SELECT * FROM {own}.schema_migrations",
    "a table of its own": "CREATE TABLE {own}.mine (id int)",
    "a change of a table": "ALTER TABLE {own}.{table} ADD COLUMN mine int",
    "an empty table": "TRUNCATE {own}.{table}",
    "no table": "DROP TABLE {own}.{table}",
    "a schema": "CREATE SCHEMA mine",
    "a table for all": "CREATE TABLE public.mine (id int)",
    "a role": "CREATE ROLE mine",
    "another's role": "SET ROLE {other}",
    "an administrator's settings": "ALTER SYSTEM SET log_statement = 'all'",
    "files": "COPY (SELECT 1) TO PROGRAM 'true'",
    "passwords": "SELECT * FROM pg_authid",
}


@pytest.mark.parametrize("wish", REFUSED)
async def test_a_role_is_refused(addresses: dict[str, str], wish: str) -> None:
    """Each service's role has the rows of its own schema, and nothing else."""
    for service, url in addresses.items():
        other = next(each for each in SERVICES if each != service)
        connection = await asyncpg.connect(url)
        try:
            table = await connection.fetchval(
                "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename <> 'schema_migrations' LIMIT 1",
                service,
            )
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(REFUSED[wish].format(own=service, other=other, table=table))
        finally:
            await connection.close()


async def test_no_table_of_another_schema_may_be_touched(addresses: dict[str, str], database: str) -> None:
    """Over all tables and all rights: those of the own schema, and none elsewhere."""
    admin = await asyncpg.connect(database)
    try:
        rights = await admin.fetch(
            "SELECT role, schemaname, tablename, right_name FROM pg_tables, unnest($1::text[]) role,"
            " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) right_name"
            " WHERE schemaname = ANY($1)"
            " AND has_table_privilege(role, format('%I.%I', schemaname, tablename), right_name)",
            list(SERVICES),
        )
    finally:
        await admin.close()
    assert {row["role"] for row in rights} == set(addresses)
    assert all(row["role"] == row["schemaname"] for row in rights)
    assert {row["right_name"] for row in rights} == {"SELECT", "INSERT", "UPDATE", "DELETE"}


def as_user(url: str, name: str, password: str) -> str:
    """The same database as another user."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


@pytest.fixture
async def administrator(database: str) -> AsyncIterator[str]:
    """An administrator as the operator makes it: owns the database and may make roles; no superuser."""
    name, password = f"admin_{secrets.token_hex(4)}", secrets.token_hex(8)
    path = urlsplit(database).path.removeprefix("/")
    root = await asyncpg.connect(database)
    try:
        await root.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{password}'")
        await root.execute(f"ALTER DATABASE {path} OWNER TO {name}")
        yield as_user(database, name, password)
    finally:
        await root.close()


async def test_an_administrator_need_not_be_a_superuser(administrator: str) -> None:
    """Who may make roles and schemas can migrate, also a second time, with another password for the service."""
    role = f"service_{secrets.token_hex(4)}"
    for password in ("the-first-password", "the-second-password"):
        url = as_user(administrator, role, password)
        await migrate(administrator, url, "generator", files("generator") / "migrations")
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT count(*) FROM generator.monthly_plans") == 0
        await connection.close()


async def migrations_command(**environment: str) -> tuple[int | None, str]:
    """Run the command of the image; its exit code and what it says on its error output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "common.migrations", *SERVICES),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_one_command_migrates_all(database: str) -> None:
    """Every service named, each with its own address; it says what is missing, and what it could not do."""
    addresses = {f"{service.upper()}_DATABASE_URL": service_url(database, service) for service in SERVICES}
    code, said = await migrations_command(ADMIN_DATABASE_URL=database)
    assert code == 2
    assert "GENERATOR_DATABASE_URL" in said
    assert await migrations_command(ADMIN_DATABASE_URL=database, **addresses) == (0, "")
    connection = await asyncpg.connect(service_url(database, "plan_api"))
    assert await connection.fetchval("SELECT count(*) FROM plan_api.generations") == 0
    await connection.close()
    code, said = await migrations_command(ADMIN_DATABASE_URL=addresses["PLAN_API_DATABASE_URL"], **addresses)
    assert code == 1
    assert "permission denied" in said


async def test_a_service_s_password_is_rotated_by_a_new_role(database: str) -> None:
    """As the runbook has it: both roles work until the service has been rolled, and then the old one is dropped."""
    address = urlsplit(database)
    mark = secrets.token_hex(4)
    old, new = (f"rotated_{mark}_{number}" for number in (1, 2))
    urls = [
        address._replace(netloc=f"{role}:{secrets.token_hex(8)}@{address.netloc.rpartition('@')[2]}").geturl()
        for role in (old, new)
    ]
    admin = await asyncpg.connect(database)
    try:
        for url in urls:
            await migrate(database, url, "generator", files("generator") / "migrations")
            running = [await asyncpg.connect(each) for each in urls[: urls.index(url) + 1]]
            for connection in running:
                assert await connection.fetchval("SELECT count(*) FROM generator.monthly_plans") == 0
                await connection.close()
        await admin.execute(f"DROP OWNED BY {old}; DROP ROLE {old}")
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(urls[0])
        connection = await asyncpg.connect(urls[1])
        assert await connection.fetchval("SELECT count(*) FROM generator.monthly_plans") == 0
        await connection.close()
    finally:
        await admin.execute(f"DROP OWNED BY {new}; DROP ROLE {new}")
        await admin.close()
