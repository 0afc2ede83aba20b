"""The whole way of a plan with the deployment's NATS users: each service with its own, and with nothing more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from local_stack import Stack
from testkit import OpenStack, User, written
from testkit.guarded_nats import GuardedNats, guarded_nats

# What may not stand in any log: the server's word, and the client's.
REFUSAL = "permissions violation"


@pytest.fixture
async def guarded(server_folder: Callable[[str], Path]) -> AsyncIterator[GuardedNats]:
    """NATS as it is deployed."""
    async with guarded_nats(server_folder("guarded-nats")) as server:
        yield server


@pytest.fixture
async def guarded_stack(open_stack: OpenStack, guarded: GuardedNats) -> AsyncIterator[Stack]:
    """Two generators and two gateways on it; no service knows another's password."""

    def as_itself(name: str, environment: Mapping[str, str]) -> Mapping[str, str]:
        user = {"gateway": "stream-gateway"}.get(name.partition("-")[0], name.rstrip("-0123456789"))
        return {**environment, "NATS_URL": guarded.url(user)}

    async with open_stack({"NATS_URL": guarded.url("operator")}, generators=2, gateways=2, rewire=as_itself) as running:
        yield running


async def test_a_plan_goes_its_way(guarded_stack: Stack, guarded: GuardedNats) -> None:
    """Started, watched at one gateway and the other, stopped, settled and called for: nothing is refused on the way."""
    stack = guarded_stack
    async with User.at(stack.gateway) as user, User.at(stack.addresses.gateways[1], user.id) as elsewhere:
        plan_id = await user.start()
        viewer, other = user.viewer(plan_id), elsewhere.viewer(plan_id)
        await asyncio.gather(viewer.watch(), other.watch())
        assert (viewer.names[-1], other.names[-1]) == ("complete", "complete")
        assert viewer.plan == other.plan

        stopped = await user.start()
        await user.viewer(stopped).watch(written(200))
        answer = await elsewhere.cancel(stopped)
        assert answer.json()["status"] in ("partial", "completed")

        called = await user.http.post("/api/plan/generate", json=user.body(await user.inputs()))
        assert called.json()["status"] == "completed"
        async with asyncio.timeout(10):
            while (await user.quota())["used"] < 3:
                await asyncio.sleep(0.05)
    refused = [log.name for log in (stack.directory / "logs").glob("*.log") if REFUSAL in log.read_text().lower()]
    assert refused == []
    assert REFUSAL not in guarded.server.process.log.read_text().lower()
