"""Real servers for the integration tests: embedded ones, or containers with TEST_BACKENDS=containers.

`make test-containers` does that; a test's own servers, which it stops or breaks, are embedded ones.
A test asks for `database` (an empty database of its own), `migrated` (one service's schema in it) and `nats_url` (a
broker whose streams are gone when the test is over).
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
from testcontainers.core.container import DockerContainer

from common.migrations import migrate
from local_stack.nats import NatsServer, speaks_jetstream
from local_stack.ports import free_port
from local_stack.postgres import PostgresServer
from local_stack.roles import other_database, service_url
from testkit.containers import require_engine
from testkit.secrecy import keep, keep_passwords

_CONTAINERS = os.environ.get("TEST_BACKENDS") == "containers"
_START_SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands on the servers of the run as `servers`: with containers it is tried again."""
    for item in items:
        if {"postgres_url", "nats_server_url"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")


@pytest.fixture(scope="session")
def server_directory(server_folder: Callable[[str], Path]) -> Path:
    """A folder for the servers of this test run."""
    return server_folder("servers")


@pytest.fixture(scope="session")
async def postgres_url(server_directory: Path) -> AsyncIterator[str]:
    """The administrator's address of the run's PostgreSQL."""
    if _CONTAINERS:
        with _container("POSTGRES_IMAGE", "postgres:18", 5432, POSTGRES_PASSWORD="planstream") as address:
            url = f"postgresql://postgres:planstream@{address}/postgres"
            await _until(lambda: _accepts(url))
            yield url
        return
    server = PostgresServer(
        server_directory / "postgres", free_port(), server_directory / "postgres.log", durable=False
    )
    await server.initialise()
    server.process.start()
    try:
        await server.ready()
        keep_passwords(server.url("postgres"))
        yield server.url("postgres")
    finally:
        await server.process.stop()


@pytest.fixture(scope="session")
async def nats_server_url(server_directory: Path) -> AsyncIterator[str]:
    """The address of the run's NATS. A test asks for `nats_url`, which cleans up after it."""
    if _CONTAINERS:
        with _container("NATS_IMAGE", "nats:2", 4222, command="-js") as address:
            host, _, port = address.partition(":")
            await _until(lambda: speaks_jetstream(host, int(port)))
            yield f"nats://{address}"
        return
    async with _nats(server_directory / "nats") as server:
        yield server.url


@pytest.fixture
async def private_nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """An embedded NATS of the test's own, to stop (`.process.stop()`) and start (`.process.start()`, `.ready()`)."""
    async with _nats(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def nats_url(nats_server_url: str) -> AsyncIterator[str]:
    """The broker's address; every stream is deleted when the test is over."""
    yield nats_server_url
    client = await nats.connect(nats_server_url)
    jetstream = client.jetstream()
    for stream in await jetstream.streams_info():
        await jetstream.delete_stream(stream.config.name or "")
    await client.close()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    """The administrator's address of an empty database that only this test uses."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield other_database(postgres_url, name)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture
def migrated(database: str) -> Callable[[str], Awaitable[str]]:
    """`await migrated("generator")` makes that service's schema in `database` and answers with its role's address."""

    async def apply(service: str) -> str:
        url = service_url(database, service)
        await migrate(database, url, service, files(service) / "migrations")
        return url

    return apply


@asynccontextmanager
async def _nats(directory: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(directory, free_port(), directory.with_name(directory.name + ".log"))
    server.initialise()
    async with AsyncExitStack() as opened:
        opened.push_async_callback(server.process.stop)
        server.process.start()
        await server.ready()
        password = urlsplit(server.url).password
        assert password, "the embedded server has one"
        keep(password)
        yield server


@contextmanager
def _container(variable: str, image: str, port: int, command: str = "", **environment: str) -> Iterator[str]:
    """Run a container and give the address of its port."""
    require_engine()
    container = DockerContainer(os.environ.get(variable, image)).with_exposed_ports(port)
    for name, value in environment.items():
        container.with_env(name, value)
    if command:
        container.with_command(command)
    with container:
        yield f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"


async def _accepts(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def _until(check: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not await check():
        assert time.monotonic() < deadline, "the container did not become ready"
        await asyncio.sleep(0.1)
