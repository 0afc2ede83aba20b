"""The Python client against the real stack: both ways of waiting, every verb, and a connection that breaks."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from local_stack import Stack
from planstream_client import AsyncPlanstream, Planstream, RefusedError, UnreachableError, generate_for
from testkit.proxy import Proxy


async def test_a_plan_for_asyncio(stack: Stack) -> None:
    """Start, watch, and read back: the folded document is the stored one; the quota knows."""
    async with AsyncPlanstream(stack.gateway, user_id=uuid4()) as client:
        preference_id = await client.save_inputs("Run 10 km", focus_areas=["Endurance"], weeks=4)
        async with client.start(preference_id) as watch:
            names = [event.name async for event in watch]
        assert (names[0], names[-1], watch.status, watch.percent) == ("connected", "complete", "completed", 100)
        assert names.count("progress") > 10
        assert watch.plan == (await client.plan(watch.plan_id))["plan"]
        assert (await client.status(watch.plan_id))["status"] == "completed"
        assert [plan["planId"] for plan in (await client.plans())["plans"]] == [watch.plan_id]
        assert (await client.quota())["remaining"] == 29
        await client.delete(watch.plan_id)
        with pytest.raises(RefusedError) as refused:
            await client.plan(watch.plan_id)
    assert (refused.value.code, refused.value.status) == ("not_found", 404)


def _written(gateway: str) -> tuple[Any, Any, str]:
    with Planstream(gateway, user_id=uuid4()) as client:
        watch = client.start(client.save_inputs(goals="Run 10 km"))
        names = [event.name for event in watch]
        return watch.plan, client.plan(watch.plan_id)["plan"], names[-1]


@pytest.mark.full
async def test_a_plan_for_a_program_that_waits(stack: Stack) -> None:
    """The same without asyncio."""
    folded, stored, last = await asyncio.to_thread(_written, stack.gateway)
    assert folded == stored
    assert last == "complete"


@pytest.mark.provokes("crash", "asyncio logs connections that the test's own proxy cuts")
@pytest.mark.full
async def test_it_comes_back_by_itself(stack: Stack) -> None:
    """Cut in the middle it resumes after its last id, and misses and repeats nothing."""
    async with Proxy() as network:
        host, port = stack.gateway.removeprefix("http://").split(":")
        network.target = (host, int(port))
        async with AsyncPlanstream(f"http://127.0.0.1:{network.port}", user_id=uuid4()) as client:
            watch = client.start(await client.save_inputs("Run 10 km"))
            places = []
            async for event in watch:
                if event.id is not None:
                    places.append(tuple(map(int, event.id.split("."))))
                if len(places) in (5, 12):
                    network.cut()
            assert watch.reconnects >= 1
            assert watch.plan == (await client.plan(watch.plan_id))["plan"]
    assert places == sorted(set(places))


@pytest.mark.full
async def test_a_cancel_and_a_batch(stack: Stack) -> None:
    """Three plans by one request, one refused for itself; one is stopped, and says so to its viewer."""
    async with AsyncPlanstream(stack.gateway, user_id=uuid4()) as client:
        preferences = [await client.save_inputs("Run 10 km") for _ in range(2)]
        batch = await client.batch([*preferences, uuid4()])
        first, second, refused = batch["plans"]
        assert refused["error"]["code"] == "not_found"
        watch = client.watch(second["planId"])
        stopped = [event.name async for event in watch if event.name == "connected" and await watch.cancel()]
        assert stopped == ["connected"]
        assert watch.status in ("partial", "failed", "completed")
        assert (await client.watch(first["planId"]).finished()).status == "completed"


async def test_one_key_is_one_plan(stack: Stack) -> None:
    """Twenty times the same start with one key, at once."""
    async with AsyncPlanstream(stack.gateway, user_id=uuid4()) as client:
        preference_id = await client.save_inputs("Run 10 km")
        made = await asyncio.gather(*(client.submit(preference_id, key="once") for _ in range(20)))
    assert len(set(made)) == 1


@pytest.mark.full
async def test_from_service_to_service(stack: Stack) -> None:
    """The synchronous call with the service token, and a wrong token."""
    user, addresses = uuid4(), stack.addresses
    async with AsyncPlanstream(stack.gateway, user_id=user) as client:
        preference_id = await client.save_inputs("Run 10 km")
        whole = await client.generate(preference_id)
    given = (addresses.plan_api, addresses.service_token, user, preference_id)
    found = await asyncio.to_thread(generate_for, *given)
    assert (found["status"], whole["status"]) == ("completed", "completed")
    with pytest.raises(RefusedError, match="unauthorized"):
        await asyncio.to_thread(generate_for, addresses.plan_api, "not the token", user, preference_id)


async def test_who_does_not_answer() -> None:
    """An address where nobody listens, at once and after all tries of a watch."""
    async with AsyncPlanstream("http://127.0.0.1:9", user_id=uuid4(), tries=1) as client:
        with pytest.raises(UnreachableError):
            await client.quota()
        with pytest.raises(UnreachableError, match="after 1 tries"):
            await client.watch(uuid4()).finished()
