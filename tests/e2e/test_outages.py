"""What works while a server is away, and what is said of what does not."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest

from local_stack import Stack
from testkit import OpenStack, User, written


@pytest.fixture
async def own_stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """A stack that this module may break."""
    async with open_stack() as running:
        yield running


async def healthy(stack: Stack) -> None:
    """Wait until a start is accepted again."""
    async with User.at(stack.gateway) as user, asyncio.timeout(20):
        preference_id = await user.inputs()
        while True:
            answer = await user.http.post(
                "/api/streaming/generate-plan", json=user.body(preference_id), headers={"Accept": "application/json"}
            )
            if answer.status_code == httpx.codes.ACCEPTED:
                return
            await asyncio.sleep(0.1)


async def test_without_nats(own_stack: Stack) -> None:
    """NATS stopped: synchronous calls work, starts get 503, a running plan goes on, and its viewer gets its end."""
    async with User.at(own_stack.gateway) as user:
        viewer = user.viewer()
        stopped = asyncio.Event()

        def until(event: object) -> bool:
            if written(800)(event):
                stopped.set()
            return False

        watching = asyncio.create_task(viewer.start(user.body(await user.inputs()), until=until))
        await asyncio.wait_for(stopped.wait(), 20)
        await own_stack.stop_nats()
        preference_id = await user.inputs()
        refused = await user.http.post("/api/streaming/generate-plan", json=user.body(preference_id))
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
        async with httpx.AsyncClient(timeout=60) as service:
            answers = [
                await user.http.post("/api/plan/generate", json=user.body(preference_id)),
                await service.post(
                    f"{own_stack.addresses.plan_api}/service/generate",
                    json=user.body(preference_id),
                    headers={"Authorization": f"Bearer {own_stack.addresses.service_token}"},
                ),
            ]
        assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
        await asyncio.wait_for(watching, 40)
        assert viewer.names[-1] == "complete"
        assert viewer.plan == (await user.plan(viewer.plan_id))["plan"]  # type: ignore[arg-type]
        await own_stack.start_nats()
        await healthy(own_stack)
        quota = await user.quota()
    assert (quota["used"], quota["reserved"]) == (3, 0)


@pytest.mark.full
async def test_without_postgres(own_stack: Stack) -> None:
    """Postgres stopped: admission answers 503; a running plan goes on and ends once Postgres is back."""
    async with User.at(own_stack.gateway) as user:
        viewer = user.viewer()
        stopped = asyncio.Event()

        def until(event: object) -> bool:
            if written(800)(event):
                stopped.set()
            return False

        preference_id = await user.inputs()
        watching = asyncio.create_task(viewer.start(user.body(preference_id), until=until))
        await asyncio.wait_for(stopped.wait(), 20)
        await own_stack.stop_postgres()
        refused = await user.http.post("/api/streaming/generate-plan", json=user.body(preference_id))
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        await asyncio.sleep(3)
        assert viewer.end is None, "an outcome that is not stored must not be announced"
        await own_stack.start_postgres()
        await asyncio.wait_for(watching, 40)
        assert viewer.names[-1] == "complete"
        assert viewer.plan == (await user.plan(viewer.plan_id))["plan"]  # type: ignore[arg-type]


@pytest.mark.full
@pytest.mark.parametrize(("attempts", "end"), [(5, "complete"), (1, "error")])
async def test_generator_killed(open_stack: OpenStack, attempts: int, end: str) -> None:
    """Complaint 4: a killed generator's stream ends: by another's taking over, or, where none may, with an error."""
    env = {"EMULATOR_TOKENS_PER_SECOND": "150", "ATTEMPTS": str(attempts), "SSE_HEARTBEAT_SECONDS": "1"}
    async with open_stack(env, generators=2) as stack, User.at(stack.gateway) as user:
        viewer = user.viewer()
        killed = asyncio.Event()

        def until(event: object) -> bool:
            if written(2500)(event):
                killed.set()
            return False

        watching = asyncio.create_task(viewer.start(user.body(await user.inputs()), until=until))
        await asyncio.wait_for(killed.wait(), 30)
        name = await owner_of(stack)
        await stack.kill(name)
        await asyncio.wait_for(watching, 40)
        assert viewer.names.count("connected") == 1
        assert viewer.names[-1] == end
        assert viewer.received[-1].data["attempt"] == 2
        assert viewer.plan == (await user.plan(viewer.plan_id))["plan"]  # type: ignore[arg-type]


async def owner_of(stack: Stack) -> str:
    """Which generator has an open connection to the emulator."""
    port = stack.addresses.emulator_port
    for name in ("generator-1", "generator-2"):
        connections = psutil.Process(stack.pids[name]).net_connections("tcp")
        if any(item.raddr and item.raddr.port == port for item in connections):
            return name
    raise AssertionError("nobody talks to the emulator")
