"""Three NATS servers with the deployment's users: streams with three copies, and one server lost."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import nats.errors
import pytest
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from pydantic import SecretStr

from common.broker import JOBS, OUTCOMES, UNAVAILABLE, Broker, open_broker
from common.contracts import subjects
from common.settings import NatsOptions
from local_stack.nats import NatsServer
from local_stack.ports import LOOPBACK, free_port
from testkit.guarded_nats import NAMES, USERS
from testkit.secrecy import keep

pytestmark = pytest.mark.full

NODES = 3


class Cluster:
    """The servers, and how a user reaches them."""

    def __init__(self, folder: Path) -> None:
        self.passwords = {name: keep(f"s{secrets.token_hex(12)}") for name in NAMES}
        environment = {f"NATS_{name.upper().replace('-', '_')}_PASSWORD": word for name, word in self.passwords.items()}
        routes = [free_port() for _ in range(NODES)]
        known = ", ".join(f'"nats://{LOOPBACK}:{port}"' for port in routes)
        self.servers = {
            f"n{number}": NatsServer(
                folder / f"n{number}",
                free_port(),
                folder / f"n{number}.log",
                configuration=f"server_name: n{number}\n"
                f'cluster {{ name: c, listen: "{LOOPBACK}:{port}", routes: [{known}] }}\n'
                f"{USERS.read_text()}",
                environment=environment,
            )
            for number, port in enumerate(routes)
        }

    def url(self, user: str) -> str:
        """All addresses, as a user."""
        return ",".join(
            f"nats://{user}:{self.passwords[user]}@{LOOPBACK}:{each.port}" for each in self.servers.values()
        )


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three servers that know each other."""
    made = Cluster(tmp_path)
    async with AsyncExitStack() as opened:
        for server in made.servers.values():
            server.initialise()
            opened.push_async_callback(server.process.stop)
            server.process.start()
        for server in made.servers.values():
            await server.ready()
        yield made


async def made(broker: Broker) -> None:
    """Both streams, once the servers have agreed on who decides."""
    async with asyncio.timeout(30):
        await broker.wait_connected()
        while True:
            try:
                await broker.ensure_stream(JOBS)
                await broker.ensure_stream(OUTCOMES)
            except UNAVAILABLE:
                await asyncio.sleep(0.2)
            else:
                return


async def leader(jetstream: JetStreamContext, other_than: str = "") -> str:
    """Who leads the jobs, with both others up to date at first."""
    async with asyncio.timeout(30):
        while True:
            try:
                found = (await jetstream.stream_info(subjects.JOBS_STREAM)).cluster
            except (JetStreamError, TimeoutError, nats.errors.Error):
                found = None
            if found is not None and found.leader and found.leader != other_than:
                return str(found.leader)
            await asyncio.sleep(0.2)


@pytest.mark.timeout(120)
async def test_jobs_outlive_a_server(cluster: Cluster) -> None:
    """One copy becomes three by a setting; then the leader goes, and what it had acknowledged is still there."""
    url = SecretStr(cluster.url("plan-api"))
    async with open_broker(url, "plan-api") as single:
        await made(single)
    people = open_broker(SecretStr(cluster.url("operator")), "operator")
    async with open_broker(url, "plan-api", NatsOptions(replicas=NODES)) as broker, people as operator:
        await made(broker)
        await operator.wait_connected()
        jetstream = operator.jetstream
        for name in (subjects.JOBS_STREAM, subjects.OUTCOMES_STREAM):
            assert (await jetstream.stream_info(name)).config.num_replicas == NODES
        await _publish(broker, "one")
        gone = await leader(jetstream)
        await cluster.servers[gone].process.kill()
        await leader(jetstream, other_than=gone)
        await _publish(broker, "two")
        assert (await jetstream.stream_info(subjects.JOBS_STREAM)).state.messages == 2


@pytest.mark.timeout(120)
async def test_a_server_that_was_heard_of_is_as_good(cluster: Cluster) -> None:
    """Who was told of one address finds the others through it, and is let in there as the same user."""
    first = SecretStr(cluster.url("stream-gateway").split(",")[0])
    async with open_broker(first, "stream-gateway") as broker, asyncio.timeout(30):
        await broker.wait_connected()
        while len(broker.client.servers) < NODES:
            await asyncio.sleep(0.05)
        await cluster.servers["n0"].process.kill()
        while broker.reconnects == 0 or not broker.connected:
            await asyncio.sleep(0.05)
        subscription = await broker.client.subscribe("_INBOX.stream-gateway.x")
        assert subscription.subject


async def _publish(broker: Broker, name: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await broker.jetstream.publish(subjects.JOBS_SUBJECT, b"{}", headers={"Nats-Msg-Id": name})
            except UNAVAILABLE:
                await asyncio.sleep(0.2)
            else:
                return
