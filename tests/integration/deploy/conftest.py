"""A NATS with the deployment's users, one with TLS, and who signs the certificates."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from local_stack.nats import NatsServer
from local_stack.ports import free_port
from testkit import guarded_nats as testkit_nats
from testkit.certificates import Authority
from testkit.guarded_nats import GuardedNats


@pytest.fixture(scope="session")
async def guarded_nats(server_folder: Callable[[str], Path]) -> AsyncIterator[GuardedNats]:
    """The server with the deployment's own file of users."""
    async with testkit_nats.guarded_nats(server_folder("guarded-nats")) as guarded:
        yield guarded


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs this run's certificates."""
    return Authority(tmp_path_factory.mktemp("authority"), "planstream-test")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Somebody else, whom nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "somebody-else")


OpenTlsNats = Callable[[str], AbstractAsyncContextManager[NatsServer]]


@pytest.fixture
def open_tls_nats(tmp_path: Path) -> OpenTlsNats:
    """`async with open_tls_nats("tls { … }") as server:`: started, and perhaps not listening yet."""

    @asynccontextmanager
    async def start(configuration: str) -> AsyncIterator[NatsServer]:
        server = NatsServer(
            tmp_path / "nats",
            free_port(),
            tmp_path / "nats.log",
            configuration=configuration + '\nauthorization { user: someone, password: "a-password" }\n',
        )
        server.initialise()
        server.process.start()
        try:
            yield server
        finally:
            await server.process.stop()

    return start
