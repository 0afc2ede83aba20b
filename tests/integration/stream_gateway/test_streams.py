"""Watching plans on real sockets: the order of events, many viewers, resuming, and mending what was lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from common.contracts.errors import ErrorCode
from common.contracts.internal import PlanView
from stream_gateway import metrics
from testkit.metrics import counted

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory, Owner

Until = Callable[..., Awaitable[None]]


async def test_a_plan_is_watched_from_its_start_to_its_end(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """connected, snapshot, progress, complete, and then the close; the document is the stored one."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        await owner.say("A month")
        await owner.say(" of work.")
        await owner.complete()
        assert await stream.end() == "complete"
    assert stream.names == ["connected", "snapshot", "progress", "progress", "complete"]
    assert [event.id for event in stream.events[1:]] == ["1.0", "1.1", "1.2", "1.3"]
    assert stream.data(0) == {"planId": str(owner.plan_id), "status": "generating", "phase": "streaming"}
    assert "event" not in stream.data(2)
    assert stream.document == owner.document == {"monthly_summary": "A month of work."}
    assert stream.retries == 1
    headers = stream.response.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in headers


async def test_a_late_viewer_catches_up_and_both_end_with_the_same_document(
    gateway: "Gateway", owner: "Owner", user: UUID
) -> None:
    """The second viewer begins with a snapshot of what the first has seen, without another question to the owner."""
    async with gateway.watch(owner.plan_id, user) as first:
        await first.event("snapshot")
        for word in ("one ", "two ", "three "):
            await owner.say(word)
        await first.until(lambda stream: stream.last_id == "1.3")
        asked = owner.asked
        async with gateway.watch(owner.plan_id, user) as second:
            assert (await second.event("snapshot"))["seq"] == 3
            await owner.say("four")
            await owner.complete()
            assert {await first.end(), await second.end()} == {"complete"}
    assert owner.asked == asked
    assert first.document == second.document == owner.document
    assert second.names == ["connected", "snapshot", "progress", "complete"]
    assert first.events[-2:] == second.events[-2:]


async def test_resuming_at_every_event_leaves_no_gap_and_no_repeat(
    gateway: "Gateway", owner: "Owner", user: UUID
) -> None:
    """Cut after each event and resumed with its id, a viewer is handed the very next event."""
    document, last_id, seen = None, None, []
    for step in range(6):
        async with gateway.watch(owner.plan_id, user, last_id) as stream:
            await stream.event("connected")
            if last_id is None:
                await stream.event("snapshot")
            stream.document = document
            await owner.say(f"{step} ")
            await stream.event("progress")
            document, last_id = stream.document, stream.last_id
            seen += [event.id for event in stream.events if event.id]
    await owner.complete()
    async with gateway.watch(owner.plan_id, user, last_id) as stream:
        assert await stream.end() == "complete"
    assert seen == [f"1.{seq}" for seq in range(7)]
    assert document == stream.document == owner.document


async def test_a_cursor_that_cannot_be_continued_gets_a_snapshot(
    gateway: "Gateway", owner: "Owner", user: UUID
) -> None:
    """Old, future, foreign and malformed cursors all begin with a snapshot; the header wins over the query."""
    for word in ("a", "b"):
        await owner.say(word)
    for cursor in ("1.0", "1.9", "2.0", "nonsense", "1.2.3", "-1.2"):
        async with gateway.watch(owner.plan_id, user, cursor, lastEventId="1.2") as stream:
            assert (await stream.event("snapshot"))["plan"] == {"monthly_summary": "ab"}
    async with gateway.watch(owner.plan_id, user, lastEventId="1.2") as stream:
        await stream.event("connected")
        stream.document = {"monthly_summary": "ab"}
        await owner.say("c")
        await stream.event("progress")
        assert "snapshot" not in stream.names


async def test_a_gap_is_mended_with_one_snapshot(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """Events that were lost on the way cost a snapshot, which is counted, and every later event still comes once."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        with counted(metrics.GAPS) as gaps:
            await owner.say("kept ")
            for _ in range(5):
                await owner.say("lost ", lost=True)
            for _ in range(5):
                await owner.say("and found ")
            await stream.until(lambda viewer: viewer.last_id == "1.11")
        assert gaps() == 1
        await owner.complete()
        assert await stream.end() == "complete"
    assert stream.document == owner.document
    assert stream.names.count("snapshot") == 2
    ids = [event.id for event in stream.events if event.id]
    assert ids == sorted(set(ids), key=lambda text: int(text.partition(".")[2]))


async def test_a_gap_is_asked_about_until_it_is_mended(
    gateway: "Gateway", owner: "Owner", user: UUID, until: Until
) -> None:
    """An owner that does not answer at once is asked again, though events go on coming."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        asked, owner.silent = owner.asked, True
        await owner.say("lost ", lost=True)
        await owner.say("found")
        await until(lambda: owner.asked == asked + 2)
        owner.silent = False
        await stream.until(lambda viewer: viewer.last_id == "1.2")
        assert stream.document == owner.document


async def test_an_event_that_does_not_fit_is_mended(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """A path that is not there, or a message that is no event, ends in a snapshot, never in a false state."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        await owner.say("good")
        await stream.event("progress")
        wrong = owner.state() | {"event": "progress", "seq": 2, "ops": [{"op": "append", "path": "/no", "value": "x"}]}
        await owner.say(", better", lost=True)
        await owner.publish(wrong)
        await stream.until(lambda viewer: viewer.last_id == "1.2")
        assert stream.document == owner.document
        await owner.publish({"event": "progress", "planId": str(owner.plan_id), "attempt": "one"})
        await owner.publish({"event": "a kind of later", "planId": str(owner.plan_id)})
        await owner.complete()
        assert await stream.end() == "complete"
    assert stream.document == owner.document


async def test_a_new_attempt_takes_over(
    gateway: "Gateway", owner: "Owner", user: UUID, own: Callable[..., "Owner"]
) -> None:
    """Rule 5: its opening snapshot replaces what was held, and the old attempt is not heard any more."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        await owner.say("first try")
        owner.silent = True
        successor = own(owner.plan_id, 2)
        await successor.claim()
        await successor.say("second try")
        await owner.say("a zombie speaks")
        await successor.complete()
        assert await stream.end() == "complete"
    assert [event.id for event in stream.events[1:]] == ["1.0", "1.1", "2.0", "2.1", "2.2"]
    assert stream.document == successor.document == {"monthly_summary": "second try"}


async def test_a_new_attempt_without_its_snapshot_is_asked_for_one(
    gateway: "Gateway", owner: "Owner", user: UUID, own: Callable[..., "Owner"]
) -> None:
    """Rule 5: when the opening of an attempt was lost, its first progress brings a question and a snapshot."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        owner.silent = True
        successor = own(owner.plan_id, 2)
        await successor.claim()
        await stream.until(lambda viewer: viewer.last_id == "2.0")
        successor.attempt = 3
        await successor.say("third")
        await successor.say(" try")
        await successor.complete()
        assert await stream.end() == "complete"
    assert stream.document == {"monthly_summary": "third try"}


async def test_snapshot_mode_sends_whole_documents_and_few(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """No deltas, at most five a second, and always the last state before the end."""
    async with gateway.watch(owner.plan_id, user, mode="snapshot") as stream:
        await stream.event("snapshot")
        for step in range(50):
            await owner.say(f"{step} ")
            await asyncio.sleep(0.01)
        await stream.until(lambda viewer: viewer.last_id == "1.50")
        await owner.complete()
        assert await stream.end() == "complete"
    assert "progress" not in stream.names
    assert 2 <= stream.names.count("snapshot") <= 7
    assert stream.document == owner.document


async def test_head_does_not_stream(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """HEAD answers with the stream's headers and ends."""
    response = await gateway.client.head(f"/api/streaming/events/{owner.plan_id}", headers={"X-User-Id": str(user)})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_a_viewer_that_has_the_end_is_told_to_stop(
    gateway: "Gateway", owner: "Owner", user: UUID, backend: "Backend"
) -> None:
    """204 for the id of the terminal event, from memory and from the stored row; another id gets the end again."""
    await owner.say("all")
    await owner.complete()
    for expected in (204, 204):
        headers = {"X-User-Id": str(user), "Last-Event-ID": "1.2"}
        response = await gateway.client.get(f"/api/streaming/events/{owner.plan_id}", headers=headers)
        assert (response.status_code, response.content) == (expected, b"")
        owner.silent = True
        backend.rows[owner.plan_id] = owner.row()
    async with gateway.watch(owner.plan_id, user, "1.1") as stream:
        assert await stream.end() == "complete"
        assert stream.data(0)["status"] == "completed"
        assert stream.data(0)["phase"] is None


async def test_another_users_plan_is_not_there(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """Foreign, unknown and malformed ids are one and the same 404, in every route, also after the owner has watched."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("connected")
    stranger = {"X-User-Id": str(uuid4())}
    answers = set()
    for headers, plan_id in (
        (stranger, str(owner.plan_id)),
        ({"X-User-Id": str(user)}, str(uuid4())),
        ({"X-User-Id": str(user)}, "not-a-uuid"),
        ({"X-User-Id": str(user)}, "*"),
        ({"X-User-Id": str(user)}, owner.plan_id.hex),
    ):
        for method, route in (("GET", "events"), ("HEAD", "events"), ("GET", "status"), ("DELETE", "cancel")):
            response = await gateway.client.request(method, f"/api/streaming/{route}/{plan_id}", headers=headers)
            answers.add((response.status_code, response.headers["content-type"], response.content or b"HEAD"))
    assert {answer[:2] for answer in answers} == {(404, "application/problem+json")}
    assert len(answers) == 2
    assert owner.commands.count("cancel") == 0


async def test_a_queued_plan_waits_for_its_owner(
    gateway: "Gateway", user: UUID, backend: "Backend", own: Callable[..., "Owner"]
) -> None:
    """A plan that only plan-api knows is queued; its events come once a generator has claimed it."""
    plan_id = backend.accept(user)
    async with gateway.watch(plan_id, user) as stream:
        assert await stream.event("connected") == {"planId": str(plan_id), "status": "generating", "phase": "queued"}
        owner = own(plan_id)
        await owner.claim()
        await owner.say("begun")
        await owner.complete()
        assert await stream.end() == "complete"
    assert stream.document == {"monthly_summary": "begun"}


async def test_a_deleted_plan_is_not_there_though_we_remember_its_owner(
    gateway: "Gateway", user: UUID, backend: "Backend"
) -> None:
    """What we remember of a plan does not outlive it in plan-api."""
    plan_id = backend.accept(user)
    async with gateway.watch(plan_id, user) as stream:
        await stream.event("connected")
    del backend.owners[plan_id]
    headers = {"X-User-Id": str(user)}
    for route in ("events", "status"):
        response = await gateway.client.get(f"/api/streaming/{route}/{plan_id}", headers=headers)
        assert response.status_code == 404


async def test_a_failed_plan_says_why(
    gateway: "Gateway", user: UUID, backend: "Backend", make_row: Callable[..., PlanView]
) -> None:
    """A stored failure is the error event: code, a sentence of ours, and whether trying again may help."""
    plan_id = backend.accept(user)
    backend.rows[plan_id] = make_row(
        plan_id, status="failed", ended_as="error", code=ErrorCode.UPSTREAM_ERROR, seq=4, phase=None
    )
    async with gateway.watch(plan_id, user) as stream:
        assert await stream.end() == "error"
        assert stream.names == ["connected", "error"]
        assert (stream.data()["code"], stream.data()["retryable"]) == ("upstream_error", True)
        assert stream.last_id == "1.4"
    status = await gateway.client.get(f"/api/streaming/status/{plan_id}", headers={"X-User-Id": str(user)})
    assert status.json()["error"]["code"] == "upstream_error"


async def test_heartbeats_age_and_the_cap(
    make_gateway: "GatewayFactory", owner: "Owner", user: UUID, until: Until
) -> None:
    """A silent stream carries comments, an old one is closed without an end, and one too many is 429."""
    gateway = await make_gateway(sse_heartbeat_seconds=0.1, max_stream_age_seconds=1, max_streams_per_user=2)
    async with gateway.watch(owner.plan_id, user) as first, gateway.watch(owner.plan_id, user) as second:
        path, headers = f"/api/streaming/events/{owner.plan_id}", {"X-User-Id": str(user)}
        refused = await gateway.client.get(path, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert refused.headers["retry-after"] == "5"
        assert await first.end() == await second.end() == "snapshot"
        assert 5 <= first.comments <= 10
    async with gateway.watch(owner.plan_id, user) as third:
        await third.event("snapshot")
