"""NATS that stalls, restarts or is asked for too much: tokens are read on, viewers go on, subscriptions are let go."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from common.contracts.plan import DAYS
from local_stack import Stack
from local_stack.nats import NatsServer
from local_stack.ports import LOOPBACK, free_port
from testkit import OpenStack, Received, User, Viewer
from testkit.proxy import Proxy, open_switchboard
from testkit.upstream import BRISK, Upstream
from testkit.upstream_cases import Calls, always, once, short_plan, text_of

# Each read of a token is an event: as much publishing as there can be.
_EAGER = {
    "STREAMING_CHUNK_SIZE": "1",
    "SILENCE_SECONDS": "30",
    "MAX_OUTPUT_CHARS": "524288",
    "STREAMING_TIMEOUT": "60000",
}
# From upstream's last token to the stored plan: what reading may be behind; a busy machine has its share of it.
BEHIND_SECONDS = 5.0


class WatchedNats(NatsServer):
    """A NATS server that tells about its connections (docs.nats.io, monitoring)."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, free_port(), directory.with_name("nats.log"))
        self.monitor = f"http://{LOOPBACK}:{free_port()}"

    def initialise(self) -> None:
        """Let it listen for questions, too."""
        super().initialise()
        with (self.directory / "nats.conf").open("a") as configuration:
            configuration.write(f'http: "{self.monitor.removeprefix("http://")}"\n')

    async def subscriptions(self, service: str) -> list[str]:
        """What all connections of a service are subscribed to."""
        async with httpx.AsyncClient() as client:
            answer = (await client.get(f"{self.monitor}/connz", params={"subs": "1"})).json()
        named = [one for one in answer["connections"] if one.get("name") == service]
        return [subject for one in named for subject in one.get("subscriptions_list", [])]


@dataclass(frozen=True)
class Scene:
    """A stack, its NATS, and the way of its generator there."""

    stack: Stack
    upstream: Upstream
    nats: WatchedNats
    generators_way: Proxy


@pytest.fixture(scope="module")
async def scene(open_stack: OpenStack, server_folder: Callable[[str], Path]) -> AsyncIterator[Scene]:
    """One generator behind a proxy, two gateways."""
    nats = WatchedNats(server_folder("nats") / "nats")
    nats.initialise()
    async with AsyncExitStack() as opened:
        opened.push_async_callback(nats.process.stop)
        nats.process.start()
        await nats.ready()
        switchboard = await opened.enter_async_context(open_switchboard(["generator-1"], narrow=True))
        environment = BRISK | _EAGER | {"NATS_URL": nats.url}
        stack = await opened.enter_async_context(open_stack(environment, gateways=2, rewire=switchboard.rewire))
        upstream = await opened.enter_async_context(Upstream.of(stack))
        (way,) = switchboard.of("NATS_URL")
        yield Scene(stack, upstream, nats, way)


def large_plan() -> str:
    """A valid plan of some 330,000 characters."""
    document = short_plan()
    for week in document["weekly_breakdown"]:
        task = week["daily_tasks"]["sunday"][0] | {"description": "Bow slowly. " * 325}
        week["daily_tasks"] = dict.fromkeys(DAYS, [task] * 3)
    return text_of(document)


async def started(scene: Scene, user: User, *calls: Calls, **inputs: Any) -> UUID:
    """A plan that goes on without viewers."""
    body = await scene.upstream.scripted(user, calls, **inputs)
    answer = await user.http.post("/api/streaming/generate-plan", json=body, headers={"Accept": "application/json"})
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["planId"])


async def about(nats: WatchedNats, plan_id: UUID) -> list[str]:
    """What the gateways are subscribed to because of a plan."""
    return [subject for subject in await nats.subscriptions("stream-gateway") if str(plan_id) in subject]


@pytest.mark.full
async def test_returns_leave_no_listeners_behind(scene: Scene) -> None:
    """Complaint 21: after 60 returns to 5 plans the gateways listen for the open streams and for nothing else."""
    async with User.at(scene.stack.addresses.gateways[0]) as user:
        plans = [await started(scene, user, always(stall_after_tokens=20)) for _ in range(5)]
        async with User.at(scene.stack.addresses.gateways[1], user.id) as elsewhere:

            async def return_to(plan_id: UUID) -> None:
                for number in range(12):
                    viewer = (user, elsewhere)[number % 2].viewer(plan_id)
                    await viewer.watch(until=lambda event: event.name == "snapshot")

            await asyncio.gather(*map(return_to, plans))
        watched = plans[0]
        seen = asyncio.Event()

        def until(event: Received) -> bool:
            if event.name == "snapshot":
                seen.set()
            return False

        staying = asyncio.create_task(user.viewer(watched).watch(until))
        await asyncio.wait_for(seen.wait(), 10)
        # Who has left is listened for a little longer, in case he comes back.
        async with asyncio.timeout(15):
            while [await about(scene.nats, plan_id) for plan_id in plans[1:]] != [[]] * 4:
                await asyncio.sleep(0.1)
        assert sorted(await about(scene.nats, watched)) == [f"plan.events.{watched}", f"plan.viewers.{watched}"]
        others = [name for name in await scene.nats.subscriptions("stream-gateway") if str(watched) not in name]
        assert all(name.startswith("_INBOX.") for name in others), others
        for plan_id in plans:
            await user.cancel(plan_id)
        await asyncio.wait_for(staying, 10)


@pytest.mark.timeout(100)
@pytest.mark.parametrize("plans", [1, pytest.param(12, marks=pytest.mark.full)])
async def test_a_stalled_nats_does_not_slow_reading(scene: Scene, plans: int) -> None:
    """Complaint 11: while nothing of what is published gets out, tokens are read at upstream's pace, to the end.

    Twelve large plans are more than all buffers on the way to NATS can take.
    """
    small = {"tokens_per_second": 100, "chars_per_token": 20, "jitter": 0}
    large = {"tokens_per_second": 1500, "chars_per_token": 60, "jitter": 0, "content": large_plan()}
    async with User.at(scene.stack.gateway) as user:
        started_now = [await started(scene, user, once(**(small if plans == 1 else large))) for _ in range(plans)]
        async with asyncio.timeout(10):
            for plan_id in started_now:
                while not await scene.upstream.answers(plan_id):
                    await asyncio.sleep(0.02)
        scene.generators_way.pause()
        try:
            behind = await asyncio.gather(*(read_to_the_end(scene, plan_id) for plan_id in started_now))
            assert scene.generators_way.held, "nothing was published meanwhile"
        finally:
            scene.generators_way.resume()
        for plan_id in started_now:
            viewer = user.viewer(plan_id)
            await viewer.watch()
            assert viewer.names[-1] == "complete"
    # A dozen large plans keep a machine busy by themselves; that they came to their end says it all.
    assert plans > 1 or max(behind) < BEHIND_SECONDS, behind


async def read_to_the_end(scene: Scene, plan_id: UUID) -> float:
    """Wait until the plan is stored; seconds since upstream had written its last token."""
    async with asyncio.timeout(60):
        while (status := await scene.upstream.generated(plan_id)) == "generating":
            await asyncio.sleep(0.05)
    (served,) = await scene.upstream.answers(plan_id)
    assert (status, served["outcome"]) == ("completed", "completed")
    return time.time() - float(served["ended"])


@pytest.mark.full
async def test_subscribers_go_on_after_a_restart(scene: Scene) -> None:
    """Complaint 19: after a crash of NATS the open streams go on with new events, and new plans are written."""
    first, second = scene.stack.addresses.gateways
    async with User.at(first) as user, User.at(second, user.id) as elsewhere:
        plan_id = await started(scene, user, once(tokens_per_second=12, chars_per_token=20))
        viewers = [user.viewer(plan_id), elsewhere.viewer(plan_id)]
        watching = [asyncio.create_task(viewer.watch()) for viewer in viewers]
        await reached(viewers, dict.fromkeys(viewers, 5))
        await scene.nats.process.kill()
        before = [viewer.names.count("progress") for viewer in viewers]
        await asyncio.sleep(1)
        scene.nats.process.start()
        await scene.nats.ready()
        await reached(viewers, {viewer: count + 10 for viewer, count in zip(viewers, before, strict=True)})
        assert [viewer.names.count("connected") for viewer in viewers] == [1, 1]
        await user.cancel(plan_id)
        await asyncio.wait_for(asyncio.gather(*watching), 5)
        assert viewers[0].plan == viewers[1].plan == (await user.plan(plan_id))["plan"]
        later = elsewhere.viewer()
        await later.start(elsewhere.body(await user.inputs()))
        assert later.names[-1] == "complete"
        quota = await scene.upstream.settled(user)
    assert quota["used"] == 2


async def reached(viewers: list[Viewer], counts: dict[Viewer, int]) -> None:
    """Wait until each viewer has so many `progress` events."""
    async with asyncio.timeout(15):
        while any(viewer.names.count("progress") < counts[viewer] for viewer in viewers):
            assert all(viewer.end is None for viewer in viewers)
            await asyncio.sleep(0.05)
