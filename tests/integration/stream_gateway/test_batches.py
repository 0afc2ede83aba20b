"""Batches on real sockets: admission, one stream for all plans, resuming all of them by one id, and cancelling."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from common import fold, sse
from testkit.gateway.stream import Stream

if TYPE_CHECKING:
    from nats.aio.client import Client

    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory, Owner

BATCHES = "/api/streaming/batches"
Owners = list["Owner"]


@pytest.fixture
async def owners(backend: "Backend", user: UUID, own: Callable[..., "Owner"]) -> Owners:
    """The owners of three running plans."""
    made = [own(backend.accept(user)) for _ in range(3)]
    for owner in made:
        await owner.claim()
    return made


@pytest.fixture
def batch_id(backend: "Backend", user: UUID, owners: Owners) -> UUID:
    """Their batch."""
    return backend.batch_of(user, [owner.plan_id for owner in owners]).batch_id


def _watch(
    gateway: "Gateway", batch_id: UUID, user: UUID, last_id: str | None = None, **query: str
) -> AbstractAsyncContextManager[Stream]:
    headers = {"X-User-Id": str(user)} | ({} if last_id is None else {"Last-Event-ID": last_id})
    return gateway.open("GET", f"{BATCHES}/{batch_id}/events", headers=headers, params=query, folding=False)


def _folded(events: Sequence[sse.ServerSentEvent], documents: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a client holds of each plan; fails at a gap or a repeat."""
    held = dict(documents or {})
    for event in events:
        data = orjson.loads(event.data)
        if event.event in ("connected", "batch_complete"):
            continue
        plan_id = data["planId"]
        seq, document = held.get(plan_id, (None, None))
        if event.event == "progress":
            assert data["seq"] == seq + 1, f"{plan_id}: {data['seq']} after {seq}"
            document = fold.apply(document, data["ops"])
        else:
            document = data["plan"]
        held[plan_id] = (data["seq"], document)
    return held


async def test_each_preference_is_admitted_or_told_why_not(gateway: "Gateway", backend: "Backend", user: UUID) -> None:
    """One answer in the order of the request, with addresses that work; the key goes along."""
    preferences = [uuid4() for _ in range(3)]
    backend.refused.add(preferences[1])
    body = {"preferenceIds": [str(each) for each in preferences], "userId": str(user), "onDisconnect": "abort"}
    headers = {"X-User-Id": str(user), "Idempotency-Key": "once"}
    answer = await gateway.client.post(BATCHES, json=body, headers=headers)
    assert answer.status_code == 202
    told = answer.json()
    assert answer.headers["location"] == told["eventsUrl"] == f"{BATCHES}/{told['batchId']}/events"
    first, second, third = told["plans"]
    assert [line["preferenceId"] for line in told["plans"]] == body["preferenceIds"]
    assert second.keys() == {"preferenceId", "error"}
    assert second["error"]["code"] == "not_found"
    for line in (first, third):
        assert line.keys() == {"preferenceId", "planId", "eventsUrl", "statusUrl"}
        assert (await gateway.client.get(line["statusUrl"], headers=headers)).json()["planId"] == line["planId"]
    [asked] = backend.requests
    assert asked["headers"]["idempotency-key"] == "once"
    assert asked["headers"]["x-user-id"] == str(user)
    assert asked["body"]["onDisconnect"] == "abort"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"preferenceIds": []}, 422),
        ({"preferenceIds": [str(UUID(int=number)) for number in range(21)]}, 422),
        ({"preferenceIds": [str(UUID(int=1))] * 2}, 422),
        ({"preferenceIds": ["x"]}, 422),
        ({"preferenceIds": [str(UUID(int=1))], "userId": str(UUID(int=2))}, 403),
    ],
)
async def test_what_is_no_batch_is_refused(
    gateway: "Gateway", backend: "Backend", user: UUID, body: dict[str, Any], status: int
) -> None:
    """Too many, none, twice the same, malformed, or for another user: nothing is asked for."""
    answer = await gateway.client.post(BATCHES, json=body, headers={"X-User-Id": str(user)})
    assert answer.status_code == status
    assert backend.requests == []


async def test_all_plans_come_over_one_stream(gateway: "Gateway", owners: Owners, batch_id: UUID, user: UUID) -> None:
    """A connected and a terminal event for each, ids that hold all places, batch_complete, the close, and then 204."""
    async with _watch(gateway, batch_id, user) as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 3)
        for owner in owners:
            await owner.say(f"plan {owner.plan_id}")
        for owner in reversed(owners):
            await owner.complete()
        assert await stream.end() == "batch_complete"
    assert stream.names[:3] == ["connected"] * 3
    assert [stream.data(index)["planId"] for index in range(3)] == [str(owner.plan_id) for owner in owners]
    assert stream.retries == 1
    assert {plan: document for plan, (_, document) in _folded(stream.events).items()} == {
        str(owner.plan_id): owner.document for owner in owners
    }
    assert stream.last_id == "1.2,1.2,1.2,end"
    plans = [{"planId": str(owner.plan_id), "status": "completed"} for owner in owners]
    assert stream.data() == {"batchId": str(batch_id), "plans": plans}
    for query, headers in (({}, {"Last-Event-ID": stream.last_id}), ({"lastEventId": stream.last_id}, {})):
        again = await gateway.client.get(
            f"{BATCHES}/{batch_id}/events", params=query, headers={"X-User-Id": str(user), **headers}
        )
        assert again.status_code == 204
    async with _watch(gateway, batch_id, user, "1.2,1.2,1.2") as last:
        assert await last.end() == "batch_complete"
    assert last.names == ["batch_complete"]


async def test_resuming_at_every_event_leaves_no_gap_and_no_repeat(
    gateway: "Gateway", owners: Owners, batch_id: UUID, user: UUID
) -> None:
    """Whichever event was the last that came through whole, its id brings the rest of every plan, each event once."""
    async with _watch(gateway, batch_id, user) as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 3)
        for step, owner in enumerate(owners * 3):
            await owner.say(f"{step} ")
        for owner in owners:
            await owner.complete()
        assert await stream.end() == "batch_complete"
    whole = _folded(stream.events)
    numbered = [index for index, event in enumerate(stream.events) if event.id]
    assert len({stream.events[index].id for index in numbered}) == len(numbered)
    for index in numbered[:-1]:
        cut = stream.events[: index + 1]
        async with _watch(gateway, batch_id, user, cut[-1].id) as rest:
            assert await rest.end() == "batch_complete"
        # All have ended meanwhile: what is owed to each plan is its end, once.
        owed = [orjson.loads(event.data)["planId"] for event in rest.events if event.event == "complete"]
        had = [orjson.loads(event.data)["planId"] for event in cut if event.event == "complete"]
        assert sorted(had + owed) == sorted(str(owner.plan_id) for owner in owners)
        assert _folded(rest.events, _folded(cut)) == whole


async def test_a_running_batch_is_resumed_event_by_event(
    gateway: "Gateway", owners: Owners, batch_id: UUID, user: UUID
) -> None:
    """Cut after each event while all go on: the very next event of each plan comes, and no snapshot."""
    async with _watch(gateway, batch_id, user) as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 3)
        last_id, held = stream.last_id, _folded(stream.events)
    for step in range(6):
        async with _watch(gateway, batch_id, user, last_id) as stream:
            await stream.until(lambda seen: seen.names.count("connected") == 3)
            await owners[step % 3].say(f"{step} ")
            await stream.event("progress")
            assert "snapshot" not in stream.names
            last_id, held = stream.last_id, _folded(stream.events, held)
    assert last_id == "1.2,1.2,1.2"
    assert {plan: document for plan, (_, document) in held.items()} == {
        str(owner.plan_id): owner.document for owner in owners
    }


@pytest.mark.parametrize("cursor", ["nonsense", "1.0,1.0", "1.0,1.0,1.0,1.0", "1.0,,1.0", "1.0,1.0,end", "end", ""])
async def test_a_malformed_vector_gets_snapshots(
    gateway: "Gateway", owners: Owners, batch_id: UUID, user: UUID, cursor: str
) -> None:
    """Of such an id nothing is believed, also where a part of it would fit."""
    async with _watch(gateway, batch_id, user, cursor) as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 3)
    assert len(owners) == 3


async def test_a_deleted_plan_is_left_out(
    gateway: "Gateway", backend: "Backend", owners: Owners, batch_id: UUID, user: UUID
) -> None:
    """Nothing comes of it, and the others end the batch, which says so."""
    gone = owners[1].plan_id
    del backend.owners[gone]
    async with _watch(gateway, batch_id, user) as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 2)
        await owners[0].complete()
        await owners[2].complete()
        assert await stream.end() == "batch_complete"
    assert str(gone) not in _folded(stream.events)
    assert [plan["status"] for plan in stream.data()["plans"]] == ["completed", "deleted", "completed"]
    assert stream.last_id == "1.1,-,1.1,end"


async def test_a_batch_without_plans_is_complete_at_once(gateway: "Gateway", backend: "Backend", user: UUID) -> None:
    """When none was admitted there is nothing to wait for."""
    batch = backend.batch_of(user, [])
    async with _watch(gateway, batch.batch_id, user) as stream:
        assert await stream.end() == "batch_complete"
    assert (stream.last_id, stream.data()["plans"]) == ("end", [])
    answer = await gateway.client.get(
        f"{BATCHES}/{batch.batch_id}/events", headers={"X-User-Id": str(user), "Last-Event-ID": "end"}
    )
    assert answer.status_code == 204


async def test_cancelling_a_batch_says_how_each_plan_stands(
    gateway: "Gateway", backend: "Backend", owners: Owners, batch_id: UUID, user: UUID
) -> None:
    """Those that run are stopped, one that has ended stays so, and one that is gone is gone; viewers hear all of it."""
    await owners[0].say("kept")
    await owners[1].say("all")
    await owners[1].complete()
    owners[1].silent = True  # its row speaks for it now
    backend.rows[owners[1].plan_id] = owners[1].row()
    async with _watch(gateway, batch_id, user) as stream:
        await stream.until(lambda seen: "complete" in seen.names and seen.names.count("snapshot") == 2)
        answer = await gateway.client.delete(f"{BATCHES}/{batch_id}", headers={"X-User-Id": str(user)})
        assert await stream.end() == "batch_complete"
    assert answer.status_code == 200
    assert [plan["status"] for plan in answer.json()["plans"]] == ["partial", "completed", "failed"]
    assert stream.data() == answer.json()


async def test_another_users_batch_does_not_exist(
    gateway: "Gateway", backend: "Backend", batch_id: UUID, user: UUID
) -> None:
    """Watched and cancelled by a stranger it is answered as an unknown one, also when it is remembered here."""
    stranger = {"X-User-Id": str(uuid4())}
    async with _watch(gateway, batch_id, user) as stream:
        await stream.event("connected")
    for method, path in (("GET", "/events"), ("HEAD", "/events"), ("DELETE", "")):
        answers = [
            await gateway.client.request(method, f"{BATCHES}/{each}{path}", headers=stranger)
            for each in (batch_id, uuid4(), "no-uuid")
        ]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert len({answer.text for answer in answers}) == 1
    assert backend.cancels == []


async def test_a_batch_is_one_stream_and_a_viewer_of_each_plan(
    make_gateway: "GatewayFactory", broker: "Client", owners: Owners, batch_id: UUID, user: UUID
) -> None:
    """It takes one place of its user's; who asks a gateway for viewers counts it; leaving says so of every plan."""
    gateway = await make_gateway(max_streams_per_user=1)
    async with _watch(gateway, batch_id, user) as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 3)
        for owner in owners:
            reply = await broker.request(f"plan.viewers.{owner.plan_id}", b"", timeout=2)
            assert orjson.loads(reply.data)["viewers"] == 1
        path = f"/api/streaming/events/{owners[0].plan_id}"
        refused = await gateway.client.get(path, headers={"X-User-Id": str(user)})
        assert refused.json()["code"] == "too_many_streams"
    async with gateway.watch(owners[0].plan_id, user) as single:
        await single.event("snapshot")


async def test_leaving_a_batch_says_so_of_every_plan(
    gateway: "Gateway", owners: Owners, batch_id: UUID, user: UUID, until: Callable[..., Awaitable[None]]
) -> None:
    """The owners' clocks start."""
    async with _watch(gateway, batch_id, user) as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 3)
    await until(lambda: all(owner.commands == ["left"] for owner in owners))


async def test_a_batch_ends_with_the_drain(gateway: "Gateway", owners: Owners, batch_id: UUID, user: UUID) -> None:
    """Without batch_complete, and with a new retry; elsewhere its id goes on."""
    async with _watch(gateway, batch_id, user) as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 3)
        gateway.draining.begin()
        await stream.end()
    assert "batch_complete" not in stream.names
    assert (stream.retries, stream.last_id) == (2, "1.0,1.0,1.0")
    assert all("left" not in owner.commands for owner in owners)


async def test_whole_documents_of_a_batch(gateway: "Gateway", owners: Owners, batch_id: UUID, user: UUID) -> None:
    """`?mode=snapshot` is of all plans."""
    async with _watch(gateway, batch_id, user, mode="snapshot") as stream:
        await stream.until(lambda seen: seen.names.count("snapshot") == 3)
        for owner in owners:
            await owner.say("a")
            await owner.say("b")
        await stream.until(lambda seen: seen.last_id == "1.2,1.2,1.2")
    assert "progress" not in stream.names
