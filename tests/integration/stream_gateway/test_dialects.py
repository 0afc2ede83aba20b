"""The events route in other protocols' words, over real sockets."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest

from testkit.gateway.stream import Stream

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Gateway, Owner


def _parts(stream: Stream) -> list[Any]:
    return [event.data if event.data == "[DONE]" else orjson.loads(event.data) for event in stream.events]


async def _follow(gateway: "Gateway", owner: "Owner", user: UUID, name: str, last_id: str = "") -> Stream:
    """From the state to the end, with one event between."""
    path = f"/api/streaming/events/{owner.plan_id}"
    headers = {"X-User-Id": str(user), "Last-Event-ID": last_id}
    async with gateway.open("GET", path, headers=headers, params={"format": name}, folding=False) as stream:
        await stream.until(lambda seen: len(seen.events) >= (1 if last_id else 2))
        await owner.say("more")
        await stream.until(lambda seen: seen.last_id == f"1.{owner.seq}")
        await owner.complete()
        await stream.end()
    assert set(stream.names) == {"message"}
    return stream


async def test_the_ui_message_stream(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """Its header, its parts in order, `[DONE]`; and its ids resume."""
    await owner.say("A month, ")
    stream = await _follow(gateway, owner, user, "ai-sdk")
    assert stream.response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    *parts, done = _parts(stream)
    assert [part["type"] for part in parts] == ["start", "data-plan", "data-plan", "data-plan", "finish"]
    assert [part["data"]["plan"]["monthly_summary"] for part in parts[1:-1]] == ["A month, ", *["A month, more"] * 2]
    assert (done, stream.last_id) == ("[DONE]", f"1.{owner.seq}")


async def test_ag_ui_events(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """A run, its state, standard operations alone; and its ids resume without a snapshot."""
    await owner.say("A month, ")
    stream = await _follow(gateway, owner, user, "ag-ui", "1.1")
    started, delta, state, finished = _parts(stream)
    assert started == {"type": "RUN_STARTED", "threadId": str(owner.plan_id), "runId": str(owner.plan_id)}
    replaced, progress = delta["delta"]
    assert replaced == {"op": "replace", "path": "/plan/monthly_summary", "value": "A month, more"}
    assert (progress["op"], progress["path"]) == ("replace", "/progress")
    assert state["snapshot"]["plan"] == owner.document
    assert finished["type"] == "RUN_FINISHED"


@pytest.mark.parametrize("name", ["ai-sdk", "ag-ui"])
async def test_the_end_is_told_once(gateway: "Gateway", owner: "Owner", user: UUID, name: str) -> None:
    """Who comes back with the last id gets 204, as of the plain stream."""
    await owner.complete()
    answer = await gateway.client.get(
        f"/api/streaming/events/{owner.plan_id}",
        params={"format": name, "lastEventId": "1.1"},
        headers={"X-User-Id": str(user)},
    )
    assert answer.status_code == 204


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_format_that_we_do_not_have(gateway: "Gateway", owner: "Owner", user: UUID, method: str) -> None:
    """Is refused, and the answer names those that there are; no stream is left open."""
    path = f"/api/streaming/events/{owner.plan_id}?format=xml"
    answer = await gateway.client.request(method, path, headers={"X-User-Id": str(user)})
    assert answer.status_code == 422
    assert method == "HEAD" or answer.json()["errors"] == [
        {"pointer": "/format", "message": "must be one of ai-sdk, ag-ui"}
    ]
