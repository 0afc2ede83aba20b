"""The gateway as it runs, on a socket, with real Postgres and NATS, and scripted generators and plan-api behind it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import httpx
import nats
import pytest
from nats.aio.client import Client

from common.contracts.internal import PlanView
from common.server import Draining
from local_stack.ports import free_port
from stream_gateway.app import create_app
from stream_gateway.settings import Settings
from stream_gateway.socket_protocol import WEBSOCKETS
from testkit.gateway.backend import TOKEN, Backend, row_of
from testkit.gateway.owner import Owner
from testkit.gateway.stream import SECONDS, Gateway, ready
from testkit.secrecy import require_plain_answer
from testkit.serving import serving

# The names by which the tests annotate what they are given.
__all__ = ["Backend", "Gateway", "GatewayFactory", "Owner"]

# A process of its own starts slowly on a busy machine.
PROCESS_SECONDS = 30.0

GatewayFactory: TypeAlias = Callable[..., Awaitable[Gateway]]


async def _until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def _require_plain_answer(answer: httpx.Response) -> None:
    """Of the gateway; what the scripted plan-api says, it says to the test: all that it was sent."""
    if answer.status_code != httpx.codes.ACCEPTED:
        await require_plain_answer(answer)


@pytest.fixture
def user() -> UUID:
    """A user of the test's own."""
    return uuid4()


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Wait for a condition, with a deadline."""
    return _until


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    """plan-api and generators."""
    made = Backend()
    async with serving(made.app) as url:
        made.url = url
        yield made


@pytest.fixture
async def make_gateway(
    backend: Backend, migrated: Callable[[str], Awaitable[str]], nats_url: str
) -> AsyncIterator[GatewayFactory]:
    """Start a gateway, in development mode unless told otherwise."""
    database_url = await migrated("stream_gateway")
    async with AsyncExitStack() as opened:

        async def make(**changes: Any) -> Gateway:
            settings = Settings(
                **{
                    "host": "127.0.0.1",
                    "port": 0,
                    "database_url": database_url,
                    "nats_url": nats_url,
                    "service_token": TOKEN,
                    "plan_api_url": backend.url,
                    "generator_urls": backend.url,
                    "auth_mode": "dev",
                    **changes,
                }
            )
            draining = Draining()
            url = await opened.enter_async_context(serving(create_app(settings, draining), websockets=WEBSOCKETS))
            look: Any = {"response": [_require_plain_answer]}
            client = await opened.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=SECONDS, trust_env=False, event_hooks=look)
            )
            return Gateway(url, draining, client)

        yield make


@pytest.fixture
async def spawned(
    backend: Backend,
    migrated: Callable[[str], Awaitable[str]],
    nats_url: str,
) -> AsyncIterator[tuple[Gateway, asyncio.subprocess.Process]]:
    """A gateway as its command line runs it, in a process of its own."""
    environment = {
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "DATABASE_URL": await migrated("stream_gateway"),
        "NATS_URL": nats_url,
        "SERVICE_TOKEN": TOKEN,
        "PLAN_API_URL": backend.url,
        "GENERATOR_URLS": backend.url,
        "AUTH_MODE": "dev",
    }
    command = (sys.executable, "-m", "stream_gateway", "serve")
    # Its output is the test's, where all output is read for secrets and crashes.
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    url = f"http://127.0.0.1:{environment['PORT']}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:
            await ready(client, PROCESS_SECONDS)
            yield Gateway(url, Draining(), client), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def gateway(make_gateway: GatewayFactory) -> Gateway:
    """A gateway whose NATS connection stands."""
    made = await make_gateway()
    await ready(made.client)
    return made


@pytest.fixture
async def broker(nats_url: str) -> AsyncIterator[Client]:
    """The generators' connection."""
    client = await nats.connect(nats_url)
    yield client
    await client.close()


@pytest.fixture
async def owner(broker: Client, backend: Backend, user: UUID) -> Owner:
    """The owner of a running plan of the user."""
    made = Owner(broker, backend.accept(user))
    await made.claim()
    return made


@pytest.fixture
def own(broker: Client) -> Callable[..., Owner]:
    """Make an owner of a given plan; it has yet to claim it."""

    def make(plan_id: UUID, attempt: int = 1) -> Owner:
        return Owner(broker, plan_id, attempt)

    return make


@pytest.fixture
def make_row() -> Callable[..., PlanView]:
    """A stored row of a plan."""
    return row_of
