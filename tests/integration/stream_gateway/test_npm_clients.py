"""The packages that web pages use, on Node, against the running gateway: they take every stream as it is meant."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from testkit.npm import needs_node, packages_in, run_script

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory, Owner

pytestmark = [pytest.mark.full, pytest.mark.timeout(180), needs_node]

HERE = Path(__file__).parent / "npm_clients"
KEPT = Path(__file__).parents[3] / ".run" / "npm-clients"

Run = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with the packages."""
    return packages_in(KEPT, HERE)


@pytest.fixture
def run(packages: Path) -> Run:
    """Run one of the clients; what it printed."""
    return lambda name, *arguments: run_script(packages, HERE / name, *arguments)


async def _write(owner: "Owner", until: Callable[..., Awaitable[None]]) -> None:
    """Once somebody watches, write a plan of some size with every kind of operation."""
    await until(lambda: owner.asked > 0, 20)
    await owner.say("A month")
    await owner.write({"op": "add", "path": "/weekly_breakdown", "value": [{"goals": [], "focus": ""}]})
    for number in range(10):
        await owner.write(
            {"op": "add", "path": "/weekly_breakdown/0/goals/-", "value": f"{number}"},
            {"op": "append", "path": f"/weekly_breakdown/0/goals/{number}", "value": " ü\n"},
            {"op": "append", "path": "/weekly_breakdown/0/focus", "value": "x"},
        )
        await asyncio.sleep(0.01)
    await owner.write({"op": "replace", "path": "/monthly_summary", "value": "Another"})


@pytest.fixture
def writing(owner: "Owner", until: Callable[..., Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Write the owner's plan, but not its end."""
    return lambda: _write(owner, until)


async def test_the_ai_sdk_reads_a_plan(
    run: Run, gateway: "Gateway", owner: "Owner", user: UUID, writing: Callable[[], Awaitable[None]]
) -> None:
    """`ai`: one message whose data part becomes the stored document; after the end there is nothing to resume."""
    url = f"{gateway.url}/api/streaming/events/{owner.plan_id}?format=ai-sdk"
    client = asyncio.create_task(run("ai-sdk.js", url, str(user)))
    await writing()
    await owner.complete()
    told = await client
    assert told["errors"] == []
    assert (told["types"][0], told["types"][-1]) == ("start", "finish")
    assert set(told["types"][1:-1]) == {"data-plan"}
    message = told["message"]
    assert (message["id"], message["role"]) == (str(owner.plan_id), "assistant")
    [part] = message["parts"]
    assert (part["type"], part["id"]) == ("data-plan", str(owner.plan_id))
    assert (part["data"]["status"], part["data"]["plan"]) == ("completed", owner.document)
    assert await run("ai-sdk.js", f"{url}&lastEventId=1.{owner.seq}", str(user)) == {"nothing": True}


async def test_the_ai_sdk_hears_of_other_ends(
    run: Run, gateway: "Gateway", backend: "Backend", owner: "Owner", user: UUID, make_row: Callable[..., Any]
) -> None:
    """A cancelled plan is an `abort` with what was kept, a failed one an `error` with our sentence."""
    await owner.say("kept")
    await gateway.client.delete(f"/api/streaming/cancel/{owner.plan_id}", headers={"X-User-Id": str(user)})
    address = f"{gateway.url}/api/streaming/events"
    stopped = await run("ai-sdk.js", f"{address}/{owner.plan_id}?format=ai-sdk", str(user))
    assert stopped["types"] == ["start", "data-plan", "abort"]
    assert stopped["message"]["parts"][0]["data"]["plan"] == {"monthly_summary": "kept"}
    failed = backend.accept(user)
    backend.rows[failed] = make_row(failed, status="failed", ended_as="error", code="upstream_error", seq=3)
    told = await run("ai-sdk.js", f"{address}/{failed}?format=ai-sdk", str(user))
    assert told["types"] == ["start", "data-plan", "error"]
    assert told["errors"] == ["The language model failed while writing the plan. Try again."]


async def test_ag_ui_reads_a_plan(
    run: Run, gateway: "Gateway", owner: "Owner", user: UUID, writing: Callable[[], Awaitable[None]]
) -> None:
    """`@ag-ui/client`: every event fits its schemas and its order, and its JSON Patch makes our document."""
    url = f"{gateway.url}/api/streaming/events/{owner.plan_id}?format=ag-ui"
    client = asyncio.create_task(run("ag-ui.js", url, str(user)))
    await writing()
    # The next run resumes from what this one holds before the end.
    cut, held = owner.seq, {"planId": str(owner.plan_id), "plan": json.loads(json.dumps(owner.document))}
    await owner.write({"op": "append", "path": "/monthly_summary", "value": " month"})
    await owner.complete()
    told = await client
    assert (told["wrong"], told["failure"]) == ([], None)
    assert (told["types"][0], told["types"][-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert told["types"].count("STATE_DELTA") >= 10
    assert told["state"]["plan"] == owner.document
    assert told["state"]["status"] == told["result"]["status"] == "completed"
    resumed = await run("ag-ui.js", f"{url}&lastEventId=1.{cut}", str(user), json.dumps(held))
    assert resumed["state"]["plan"] == owner.document


async def test_ag_ui_patches_bring_the_state_before_the_end_too(
    run: Run, gateway: "Gateway", owner: "Owner", user: UUID, writing: Callable[[], Awaitable[None]]
) -> None:
    """What its state is when the connection ends early is what we had published by then."""
    url = f"{gateway.url}/api/streaming/events/{owner.plan_id}?format=ag-ui"
    client = asyncio.create_task(run("ag-ui.js", url, str(user)))
    await writing()
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.until(lambda seen: seen.last_id == f"1.{owner.seq}")
        gateway.draining.begin()
        told = await client
    assert told["wrong"] == []
    assert told["state"]["plan"] == owner.document


async def test_ag_ui_hears_of_other_ends(
    run: Run, gateway: "Gateway", backend: "Backend", owner: "Owner", user: UUID, make_row: Callable[..., Any]
) -> None:
    """A cancelled plan is a run whose outcome is that; a failed one a RUN_ERROR with our code."""
    await owner.say("kept")
    await gateway.client.delete(f"/api/streaming/cancel/{owner.plan_id}", headers={"X-User-Id": str(user)})
    address = f"{gateway.url}/api/streaming/events"
    stopped = await run("ag-ui.js", f"{address}/{owner.plan_id}?format=ag-ui", str(user))
    assert (stopped["wrong"], stopped["types"]) == ([], ["RUN_STARTED", "STATE_SNAPSHOT", "RUN_FINISHED"])
    assert stopped["state"]["plan"] == {"monthly_summary": "kept"}
    failed = backend.accept(user)
    backend.rows[failed] = make_row(failed, status="failed", ended_as="error", code="upstream_error", seq=3)
    told = await run("ag-ui.js", f"{address}/{failed}?format=ag-ui", str(user))
    assert told["types"] == ["RUN_STARTED", "STATE_SNAPSHOT", "RUN_ERROR"]
    assert (told["wrong"], told["failure"]["code"]) == ([], "upstream_error")


async def test_eventsource_comes_back_by_itself_and_stops_at_the_end(
    run: Run, make_gateway: "GatewayFactory", owner: "Owner", user: UUID, writing: Callable[[], Awaitable[None]]
) -> None:
    """`eventsource`: closed for its age it reconnects with its last id, misses nothing, and the 204 ends it."""
    gateway = await make_gateway(max_stream_age_seconds=1)
    url = f"{gateway.url}/api/streaming/events/{owner.plan_id}"
    names = ("connected", "snapshot", "progress", "complete")
    client = asyncio.create_task(run("eventsource.js", url, str(user), *names))
    await writing()
    await asyncio.sleep(2)  # past the age of its stream, into the pause before it comes again
    await owner.say("!")
    await owner.complete()
    told = await client
    assert told["opened"] >= 2
    ids = [event["id"] for event in told["events"] if event["name"] != "connected"]
    assert len(set(ids)) == len(ids)
    assert told["events"][-1]["name"] == "complete"
    assert told["events"][-1]["data"]["plan"] == owner.document
