"""A batch of real plans: one is written, one fails, one is cancelled; all over one stream, which moves midway."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from httpx_sse import EventSource
from websockets.asyncio.client import connect

from common.contracts.events import TERMINAL_EVENTS
from common.fold import apply
from local_stack import Stack
from testkit import User
from testkit.upstream import Upstream
from testkit.upstream_cases import always, once, short_plan, text_of

TEXT = text_of(short_plan())
# Long enough to be cut off in the middle of it.
SLOW = {"content": TEXT, "chars_per_token": 8, "tokens_per_second": 60}
REFUSED = {"http_error": {"status": 400}}
BATCHES = "/api/streaming/batches"


@dataclass
class Batch:
    """A client of a batch: what it holds of each plan; a gap or a repeat is an error."""

    url: str
    last_id: str = ""
    plans: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    complete: Any = None
    connected: list[str] = field(default_factory=list)

    async def watch(self, client: httpx.AsyncClient, events: int | None = None) -> None:
        """Read so many numbered events, or to the end, after what was read before."""
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with client.stream("GET", self.url, headers=headers) as response:
            assert response.status_code == httpx.codes.OK, await response.aread()
            async for event in EventSource(response).aiter_sse():
                if event.data:
                    self._take(event.event, event.id, json.loads(event.data))
                if event.id and events is not None and (events := events - 1) == 0:
                    return

    def _take(self, name: str, event_id: str, data: dict[str, Any]) -> None:
        self.last_id = event_id or self.last_id
        if name == "batch_complete":
            self.complete = data
            return
        plan_id = data["planId"]
        if name == "connected":
            self.connected.append(plan_id)
            return
        assert plan_id not in self.ends, f"{name} after the end of {plan_id}"
        place, before = (data["attempt"], data["seq"]), self.places.get(plan_id, (0, -1))
        assert place > before
        if name == "progress":
            assert place == (before[0], before[1] + 1)
            self.plans[plan_id] = apply(self.plans.get(plan_id), data["ops"])
        else:
            self.plans[plan_id] = data["plan"]
        self.places[plan_id] = place
        if name in TERMINAL_EVENTS:
            self.ends[plan_id] = name


async def test_a_batch_is_followed_over_two_gateways(stack: Stack) -> None:
    """Each plan has its own end, the client misses and repeats nothing, and batch_complete says how all ended."""
    first, second = stack.addresses.gateways
    async with Upstream.of(stack) as upstream, User.at(first) as user, User.at(second, user.id) as elsewhere:
        scripts = ((once(**SLOW),), (always(**REFUSED),), (once(**SLOW),))
        bodies = [await upstream.scripted(user, script) for script in scripts]
        preferences = [body["preferenceId"] for body in bodies]
        request = {"preferenceIds": [*preferences, str(UUID(int=7))], "userId": str(user.id)}
        key = {"Idempotency-Key": "one batch"}
        answer = await user.http.post(BATCHES, json=request, headers=key)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        told = answer.json()
        again = await elsewhere.http.post(BATCHES, json=request, headers=key)
        assert again.json() == told
        written, failed, stopped = (line["planId"] for line in told["plans"][:3])
        assert told["plans"][3]["error"]["code"] == "not_found"
        batch = Batch(answer.headers["location"])
        await batch.watch(user.http, events=12)
        assert batch.connected == [written, failed, stopped]
        following = asyncio.create_task(batch.watch(elsewhere.http))
        cancelled = await user.cancel(UUID(stopped))
        await asyncio.wait_for(following, 40)
        over = await user.http.get(batch.url, headers={"Last-Event-ID": batch.last_id})
        settled = await user.http.delete(f"{BATCHES}/{told['batchId']}")
        stored = [(await user.plan(UUID(plan_id)))["plan"] for plan_id in (written, failed, stopped)]
    final = cancelled.json()["status"]
    assert batch.ends == {written: "complete", failed: "error", stopped: "cancelled"}
    assert batch.complete["plans"] == [
        {"planId": written, "status": "completed"},
        {"planId": failed, "status": "failed"},
        {"planId": stopped, "status": final},
    ]
    assert [batch.plans[plan_id] for plan_id in (written, failed, stopped)] == stored
    assert over.status_code == httpx.codes.NO_CONTENT
    assert (settled.status_code, settled.json()) == (200, batch.complete)


async def test_plans_are_watched_and_stopped_over_a_socket(stack: Stack) -> None:
    """On the real stack: resumed at the other gateway, and cancelled from there."""
    first, second = stack.addresses.gateways
    async with Upstream.of(stack) as upstream, User.at(first) as user:
        body = await upstream.scripted(user, (once(**SLOW),))
        accepted = {"Accept": "application/json"}
        started = await user.http.post("/api/streaming/generate-plan", json=body, headers=accepted)
        plan_id, headers = started.json()["planId"], {"X-User-Id": str(user.id)}
        document, place = None, ""

        async def follow(gateway: str, *, until: str) -> dict[str, Any]:
            nonlocal document, place
            address = f"ws{gateway.removeprefix('http')}/api/streaming/ws"
            async with connect(address, additional_headers=headers, proxy=None) as socket, asyncio.timeout(30):
                await socket.send(json.dumps({"type": "watch", "planId": plan_id, "cursor": place}))
                async for text in socket:
                    message: dict[str, Any] = json.loads(text)
                    if message["event"] == "progress":
                        document = apply(document, message["ops"])
                    elif "plan" in message:
                        document = message["plan"]
                    place = message.get("id", place)
                    if message["event"] == until:
                        return message
                    if message["event"] == "connected" and until == "cancelled":
                        await socket.send(json.dumps({"type": "cancel", "planId": plan_id}))
            raise AssertionError("closed early")

        await follow(first, until="progress")
        end = await follow(second, until="cancelled")
        assert end["status"] == (await user.status(UUID(plan_id)))["status"]
        assert document == (await user.plan(UUID(plan_id)))["plan"]
