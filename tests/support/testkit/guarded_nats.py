"""A NATS that lets in whom deploy/nats/users.conf names."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack.nats import NatsServer
from local_stack.ports import LOOPBACK, free_port
from testkit.secrecy import keep

USERS = Path(__file__).parents[3] / "deploy" / "nats" / "users.conf"
NAMES = ("plan-api", "generator", "stream-gateway", "operator")


@dataclass(frozen=True, slots=True)
class GuardedNats:
    """A server with the users of the deployment."""

    server: NatsServer
    passwords: dict[str, str]

    def url(self, user: str) -> str:
        """The address with a user's name and password."""
        return f"nats://{user}:{self.passwords[user]}@{LOOPBACK}:{self.server.port}"


@asynccontextmanager
async def guarded_nats(folder: Path) -> AsyncIterator[GuardedNats]:
    """The server with the deployment's own file of users."""
    passwords = {name: keep(f"s{secrets.token_hex(12)}") for name in NAMES}
    environment = {f"NATS_{name.upper().replace('-', '_')}_PASSWORD": word for name, word in passwords.items()}
    server = NatsServer(
        folder / "nats",
        free_port(),
        folder / "nats.log",
        configuration=USERS.read_text(),
        environment=environment,
    )
    server.initialise()
    server.process.start()
    try:
        await server.ready()
        yield GuardedNats(server, passwords)
    finally:
        await server.process.stop()
