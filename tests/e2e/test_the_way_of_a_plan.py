"""One plan through the three services, as a client sees it."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from common.contracts.plan import validate_plan
from local_stack import Stack
from testkit import Received, User, Viewer, written


async def emulator_stats(stack: Stack) -> dict[str, int]:
    """The emulator's own counts."""
    async with httpx.AsyncClient() as client:
        counts: dict[str, int] = (await client.get(f"{stack.addresses.emulator_control}/stats")).json()
    return counts


async def slow(stack: Stack, goals: str, tokens_per_second: float = 40) -> None:
    """Make the emulator slow for prompts that hold this text."""
    rule = {"behaviour": {"tokens_per_second": tokens_per_second}, "match": {"prompt_contains": goals}, "times": None}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{stack.addresses.emulator_control}/behaviours", json=rule)
    assert answer.is_success, answer.text


async def test_a_plan_is_watched_being_written(stack: Stack) -> None:
    """connected, growing progress, complete; what was folded is what is stored; the quota is down by one."""
    async with User.at(stack.gateway) as user:
        before = await user.quota()
        viewer = user.viewer()
        await viewer.start(user.body(await user.inputs(focusAreas=["Vibrato"], weeks=5)))
        assert viewer.names[0] == "connected"
        assert viewer.names[-1] == "complete"
        assert viewer.names.count("progress") > 20
        stored = await user.plan(viewer.plan_id or uuid4())
        validate_plan(stored["plan"], 5)
        assert stored["plan"] == viewer.plan
        assert "Vibrato" in str(viewer.plan)
        status = await user.status(viewer.plan_id or uuid4())
        assert (status["status"], status["progress"]["percent"], status["error"]) == ("completed", 100, None)
        after = await user.quota()
    assert (after["used"], after["reserved"]) == (before["used"] + 1, 0)
    assert after["remaining"] == before["remaining"] - 1


async def test_folding_the_operations_alone_gives_the_document(stack: Stack) -> None:
    """Before `complete` replaces it, the folded document already equals the stored one."""
    async with User.at(stack.gateway) as user:
        viewer = user.viewer()
        before_the_end: list[Any] = []

        def hold(event: Received) -> bool:
            if event.name == "complete":
                before_the_end.append(viewer.folded)
            return False

        await viewer.start(user.body(await user.inputs()), until=hold)
        assert before_the_end == [viewer.plan]


async def test_two_viewers_one_late_end_with_the_same_document(stack: Stack) -> None:
    """A late viewer at the other gateway gets a snapshot and then the same events."""
    async with User.at(stack.addresses.gateways[0]) as user, User.at(stack.addresses.gateways[1], user.id) as again:
        first = user.viewer()
        body = user.body(await user.inputs())
        late: list[Viewer] = []

        async def join() -> None:
            viewer = again.viewer(first.plan_id)
            late.append(viewer)
            await viewer.watch()

        joining: list[asyncio.Task[None]] = []

        def until(event: object) -> bool:
            if not joining and written(1500)(event):
                joining.append(asyncio.create_task(join()))
            return False

        await first.start(body, until=until)
        await joining[0]
        (second,) = late
    assert first.end is not None
    assert second.names[:2] == ["connected", "snapshot"]
    assert "progress" in second.names
    assert second.received[1].data["seq"] > 0
    assert second.plan == first.plan


async def test_resume_after_every_few_events(stack: Stack) -> None:
    """A viewer that drops its connection again and again, at both gateways in turn, loses and repeats nothing."""
    async with User.at(stack.addresses.gateways[0]) as user, User.at(stack.addresses.gateways[1], user.id) as other:
        plan_id = await user.start()
        viewers = [user.viewer(plan_id), other.viewer(plan_id)]
        viewer, connections = viewers[0], 0
        while viewer.end is None:
            seen = len(viewer.received)
            viewer._client = (user, other)[connections % 2].http
            await viewer.watch(until=lambda _, seen=seen: len(viewer.received) >= seen + 25)  # type: ignore[misc]
            connections += 1
        stored = await user.plan(plan_id)
        viewer.last_id = viewer.end.id
        finished = await user.http.get(f"/api/streaming/events/{plan_id}", headers={"Last-Event-ID": viewer.end.id})
    assert connections > 5
    assert viewer.plan == stored["plan"]
    assert finished.status_code == httpx.codes.NO_CONTENT


async def test_cancel_in_mid_stream_closes_upstream(stack: Stack) -> None:
    """The upstream stream is aborted within a second, each viewer gets one `cancelled`, content is charged."""
    goals = f"cancel {uuid4()}"
    await slow(stack, goals)
    async with User.at(stack.addresses.gateways[0]) as user, User.at(stack.addresses.gateways[1], user.id) as other:
        aborted = (await emulator_stats(stack))["aborted"]
        first = user.viewer()
        second: list[Viewer] = []
        tasks: list[asyncio.Task[None]] = []

        def until(event: object) -> bool:
            if not tasks and written(60)(event):
                second.append(other.viewer(first.plan_id))
                tasks.append(asyncio.create_task(second[0].watch()))
            return False

        starting = asyncio.create_task(first.start(user.body(await user.inputs(goals=goals)), until=until))
        async with asyncio.timeout(20):
            while not (second and "snapshot" in second[0].names):
                await asyncio.sleep(0.02)
        assert first.plan_id is not None
        answer = await other.cancel(first.plan_id)
        async with asyncio.timeout(1):
            while (await emulator_stats(stack))["aborted"] != aborted + 1:
                await asyncio.sleep(0.02)
        await asyncio.gather(starting, *tasks)
        again = await user.cancel(first.plan_id)
        quota = await settled(user)
        stored = await user.plan(first.plan_id)
    assert (answer.status_code, answer.json()["status"]) == (200, "partial")
    assert (again.status_code, again.json()["status"]) == (200, "partial")
    for viewer in (first, second[0]):
        assert viewer.names.count("cancelled") == 1
        assert viewer.names[-1] == "cancelled"
        assert viewer.plan == stored["plan"]
    assert (quota["used"], quota["reserved"]) == (1, 0)


async def settled(user: User) -> dict[str, int]:
    """The account once nothing is reserved."""
    async with asyncio.timeout(10):
        while True:
            quota: dict[str, int] = await user.quota()
            if quota["reserved"] == 0:
                return quota
            await asyncio.sleep(0.05)


async def test_accepted_for_json_is_written_without_viewers(stack: Stack) -> None:
    """A 202 names the plan's addresses; nobody needs to watch for it to be finished."""
    async with User.at(stack.gateway) as user:
        plan_id = await user.start()
        async with asyncio.timeout(30):
            while (await user.status(plan_id))["status"] == "generating":
                await asyncio.sleep(0.1)
        viewer = user.viewer(plan_id)
        await viewer.watch()
        listed = await user.get("/api/plan/plans")
    assert viewer.names == ["connected", "complete"]
    assert [item["planId"] for item in listed["plans"]] == [str(plan_id)]


async def test_snapshot_mode_gives_whole_documents(stack: Stack) -> None:
    """The simplest client gets the whole partial document each time, and the end."""
    async with User.at(stack.gateway) as user:
        viewer = user.viewer(await user.start())
        await viewer.watch(mode="snapshot")
    assert set(viewer.names) == {"connected", "snapshot", "complete"}


async def test_synchronous_calls_return_the_complete_plan(stack: Stack) -> None:
    """The service's call and the frontend's fallback give the same kind of answer and are charged."""
    async with User.at(stack.gateway) as user:
        preference_id = await user.inputs()
        frontend = await user.http.post("/api/plan/generate", json=user.body(preference_id))
        async with httpx.AsyncClient(timeout=60) as service:
            internal = await service.post(
                f"{stack.addresses.plan_api}/service/generate",
                json=user.body(preference_id),
                headers={"Authorization": f"Bearer {stack.addresses.service_token}"},
            )
        quota = await user.quota()
    for answer in (frontend, internal):
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "completed"
        validate_plan(answer.json()["plan"], 4)
    assert (quota["used"], quota["reserved"]) == (2, 0)


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_service_call_needs_the_service_token(stack: Stack, token: str | None) -> None:
    """Without the right token: 401, and nothing is stored."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{stack.addresses.plan_api}/service/generate",
            json={"preferenceId": str(uuid4()), "userId": str(uuid4())},
            headers=headers,
        )
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_every_service_writes_its_own_slice(stack: Stack) -> None:
    """After a plan each schema holds its rows, and no role sees another's schema."""
    async with User.at(stack.gateway) as user:
        viewer = user.viewer()
        await viewer.start(user.body(await user.inputs()))
        connection = await asyncpg.connect(stack.addresses.admin_url)
        rows: dict[str, int] = {}
        async with asyncio.timeout(10):
            while len(rows) < 6 or rows["plan_api.quota_ledger"] < 2:
                rows = {
                    table: count
                    for table in (
                        "plan_api.generations",
                        "plan_api.quota_ledger",
                        "generator.monthly_plans",
                        "generator.upstream_calls",
                        "stream_gateway.plan_streams",
                        "stream_gateway.stream_sessions",
                    )
                    if (
                        count := await connection.fetchval(
                            f"SELECT count(*) FROM {table} WHERE plan_id = $1", viewer.plan_id
                        )
                    )
                }
                await asyncio.sleep(0.05)
        await connection.close()
    assert rows["generator.upstream_calls"] == 1
    assert rows["plan_api.quota_ledger"] == 2


async def test_another_user_sees_nothing(stack: Stack) -> None:
    """Complaint 22: another's plan is neither read, stopped, deleted nor built on, on any route; its owner keeps it."""
    goals = f"private {uuid4()}"
    await slow(stack, goals)
    async with User.at(stack.gateway) as owner, User.at(stack.gateway) as stranger:
        preference_id = await owner.inputs()
        viewer = owner.viewer(plan_id := await owner.start(goals=goals))
        # So that this gateway knows whose it is.
        await viewer.watch(until=written(60))
        answers = [
            await stranger.http.get(f"/api/plan/inputs/{preference_id}"),
            await stranger.http.get(f"/api/plan/plans/{plan_id}"),
            await stranger.http.delete(f"/api/plan/plans/{plan_id}"),
            await stranger.http.get(f"/api/streaming/events/{plan_id}"),
            await stranger.http.get(f"/api/streaming/events/{plan_id}", headers={"Last-Event-ID": str(viewer.last_id)}),
            await stranger.http.get(f"/api/streaming/status/{plan_id}"),
            await stranger.cancel(plan_id),
            await stranger.http.post("/api/streaming/generate-plan", json=stranger.body(preference_id)),
            await stranger.http.post("/api/plan/generate", json=stranger.body(preference_id)),
        ]
        listed = await stranger.get("/api/plan/plans")
        # It is still being written, and it is the owner who stops it.
        seen = len(viewer.received)
        await viewer.watch(until=lambda event: event.name == "progress" and len(viewer.received) > seen + 5)
        ended = await owner.cancel(plan_id)
        answers.append(await stranger.http.get(f"/api/streaming/events/{plan_id}"))
    assert (viewer.end, ended.json()["status"]) == (None, "partial")
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.request.url
        assert answer.headers["content-type"] == "application/problem+json"
    assert listed["plans"] == []


async def test_a_repeated_start_gets_the_same_plan(stack: Stack) -> None:
    """With an Idempotency-Key a lost answer costs nothing: the same plan, as stream or JSON; another body is 409."""
    async with User.at(stack.gateway) as user:
        body = user.body(await user.inputs())
        keyed = {"Idempotency-Key": str(uuid4())}
        first = user.viewer()
        await first.start(body, until=lambda event: event.name == "snapshot", headers=keyed)
        again = user.viewer()
        await again.start(body, headers=keyed)
        asked = await user.http.post(
            "/api/streaming/generate-plan", json=body, headers=keyed | {"Accept": "application/json"}
        )
        other = user.body(await user.inputs())
        conflict = await user.http.post("/api/streaming/generate-plan", json=other, headers=keyed)
        quota = await user.settled()
    assert first.plan_id == again.plan_id == UUID(asked.json()["planId"])
    assert again.names[-1] == "complete"
    assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")
    assert (quota["used"], quota["reserved"]) == (1, 0)


async def test_a_deleted_plan_ends_and_is_gone(stack: Stack) -> None:
    """Deleting a running plan stops it, ends its viewers, and leaves nothing to read in any service."""
    goals = f"delete {uuid4()}"
    await slow(stack, goals)
    async with User.at(stack.gateway) as user:
        viewer = user.viewer()
        reached = asyncio.Event()

        def until(event: Received) -> bool:
            if written(60)(event):
                reached.set()
            return False

        watching = asyncio.create_task(viewer.start(user.body(await user.inputs(goals=goals)), until=until))
        await asyncio.wait_for(reached.wait(), 20)
        deleted = await user.http.delete(f"/api/plan/plans/{viewer.plan_id}")
        await asyncio.wait_for(watching, 10)
        answers = [
            await user.http.get(f"/api/plan/plans/{viewer.plan_id}"),
            await user.http.get(f"/api/streaming/status/{viewer.plan_id}"),
            await user.http.get(f"/api/streaming/events/{viewer.plan_id}"),
        ]
        listed = await user.get("/api/plan/plans")
    assert deleted.status_code == httpx.codes.NO_CONTENT
    assert viewer.names[-1] == "cancelled"
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert listed["plans"] == []
