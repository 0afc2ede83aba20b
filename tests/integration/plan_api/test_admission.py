"""Admission: what refuses stores nothing, what is accepted is reserved and published once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import nats
import pytest
from pydantic import SecretStr

from common.contracts import subjects
from common.contracts.errors import ErrorCode
from common.contracts.messages import GenerateJob
from plan_api import admission

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi, PostgresLine

TABLES = ("generations", "quota_accounts", "quota_ledger", "outbox", "idempotency_keys")


async def _stored(api: "PlanApi") -> dict[str, int]:
    return {table: await api.count(table) for table in TABLES}


async def _jobs(nats_url: str) -> list[tuple[str, GenerateJob]]:
    """Everything in the work queue: message id and job."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(subjects.JOBS_STREAM)).state
    found = []
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await jetstream.get_msg(subjects.JOBS_STREAM, sequence)
        job = GenerateJob.model_validate_json(message.data or b"")
        found.append(((message.headers or {})["Nats-Msg-Id"], job))
    await client.close()
    return found


async def test_an_accepted_plan_is_reserved_and_published(plan_api: "PlanApi", user: UUID, nats_url: str) -> None:
    """201, one reservation, and a job that carries the inputs; the outbox is empty again."""
    preference_id = await plan_api.store_inputs(user, weeks=5)
    response = await plan_api.start(user, preference_id)
    plan_id = UUID(response.json()["planId"])
    assert (response.status_code, response.json()["status"]) == (201, "generating")
    assert response.json()["replayed"] is False
    assert await plan_api.balance(user) == (0, 1)
    assert await plan_api.count("outbox") == 0
    [(message_id, job)] = await _jobs(nats_url)
    assert message_id == f"{plan_id}.1"
    assert (job.plan_id, job.user_id, str(job.preference_id)) == (plan_id, user, preference_id)
    assert (job.preferences.weeks, job.mode, job.on_disconnect) == (5, "stream", "abort")


async def test_a_job_says_whether_a_stream_started_it(plan_api: "PlanApi", user: UUID, nats_url: str) -> None:
    """Its first viewer may have left before a generator could hear of it; a repeat may ask for the other answer."""
    body = {"preferenceId": await plan_api.store_inputs(user)}
    keyed = {"idempotency_key": "k"}
    watched = await plan_api.ask("POST", "/internal/generations", user, body | {"watched": True}, **keyed)
    again = await plan_api.ask("POST", "/internal/generations", user, body, **keyed)
    assert (watched.status_code, again.status_code) == (201, 200)
    [(_, job)] = await _jobs(nats_url)
    assert job.watched


async def test_the_gateway_learns_the_owner(plan_api: "PlanApi", user: UUID) -> None:
    """GET /internal/generations/{planId} says whose a plan is; an unknown one is 404."""
    plan_id = await plan_api.started(user)
    known = await plan_api.ask("GET", f"/internal/generations/{plan_id}", None)
    assert (known.status_code, known.json()["userId"], known.json()["weeks"]) == (200, str(user), 4)
    for unknown in (str(uuid4()), "nonsense"):
        response = await plan_api.ask("GET", f"/internal/generations/{unknown}", None)
        assert response.status_code == 404


async def test_inputs_of_another_user_start_nothing(plan_api: "PlanApi", user: UUID) -> None:
    """404, and nothing is stored, not even the key."""
    response = await plan_api.start(uuid4(), await plan_api.store_inputs(user), idempotency_key="k")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert not any((await _stored(plan_api)).values())


async def test_a_user_in_the_body_must_be_the_one_who_asks(plan_api: "PlanApi", user: UUID) -> None:
    """403, and nothing is stored."""
    body = {"preferenceId": await plan_api.store_inputs(user), "userId": str(uuid4())}
    response = await plan_api.ask("POST", "/internal/generations", user, body)
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert not any((await _stored(plan_api)).values())


@pytest.mark.parametrize(
    ("setting", "status", "code"),
    [("max_running_plans_per_user", 429, "too_many_running"), ("quota_plans_per_month", 402, "quota_exceeded")],
)
async def test_limits_refuse_and_store_nothing(
    launch: "Callable[..., Awaitable[PlanApi]]",
    nats_url: str,
    ready: Callable[..., Awaitable[None]],
    user: UUID,
    setting: str,
    status: int,
    code: str,
) -> None:
    """Rule 13: the second plan is refused; a key is not remembered; a plan that ends unheard of makes room again."""
    api = await launch(nats_url, **{setting: 1})
    await ready(api)
    plan_id = await api.started(user)
    preference_id = await api.store_inputs(user)
    before = await _stored(api)
    refused = await api.start(user, preference_id, idempotency_key="k")
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert await _stored(api) == before
    if status == 429:
        assert int(refused.headers["retry-after"]) > 0
    api.generator.ended(plan_id, user, "failed", "released", ErrorCode.UPSTREAM_ERROR)
    accepted = await api.start(user, preference_id, idempotency_key="k")
    assert accepted.status_code == 201


async def test_a_decision_comes_in_time_or_not_at_all(
    plan_api: "PlanApi", user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited has gone by then, and must not be charged for what he does not know of."""
    monkeypatch.setattr(admission, "DECISION_SECONDS", 0.3)
    preference_id = await plan_api.store_inputs(user)
    await plan_api.started(user)
    before = await _stored(plan_api)
    batch = {"preferenceIds": [preference_id, await plan_api.store_inputs(user)]}
    async with plan_api.admin.transaction():
        await plan_api.admin.execute("SELECT FROM plan_api.quota_accounts WHERE user_id = $1 FOR UPDATE", user)
        late = [
            await plan_api.start(user, preference_id, idempotency_key="k"),
            await plan_api.ask("POST", "/internal/batches", user, batch),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in late] == [(503, "unavailable")] * 2
    assert await _stored(plan_api) == before
    assert (await plan_api.start(user, preference_id, idempotency_key="k")).status_code == 201


async def test_no_limit(
    launch: "Callable[..., Awaitable[PlanApi]]", nats_url: str, ready: Callable[..., Awaitable[None]], user: UUID
) -> None:
    """0 means no limit, and the quota says null."""
    api = await launch(nats_url, quota_plans_per_month=0, max_running_plans_per_user=0)
    await ready(api)
    await api.started(user)
    quota = (await api.ask("GET", "/api/plan/quota", user)).json()
    assert (quota["limit"], quota["remaining"], quota["reserved"]) == (None, None, 1)


async def test_without_nats_nothing_starts(launch: "Callable[..., Awaitable[PlanApi]]", user: UUID) -> None:
    """503 with Retry-After before anything is stored; the service itself is ready."""
    api = await launch("nats://127.0.0.1:9")
    response = await api.start(user, await api.store_inputs(user))
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert not any((await _stored(api)).values())
    health = await api.client.get("/readyz")
    assert (health.status_code, health.json()["dependencies"]) == (200, {"postgres": "up", "nats": "down"})


async def test_twenty_identical_keyed_starts_make_one_plan(plan_api: "PlanApi", user: UUID, nats_url: str) -> None:
    """Concurrent twins wait and get the same plan: one reservation, one job, one answer that is not a replay."""
    preference_id = await plan_api.store_inputs(user)
    answers = await asyncio.gather(*(plan_api.start(user, preference_id, idempotency_key="k") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["planId"] for answer in answers}) == 1
    assert [answer.json()["replayed"] for answer in answers].count(False) == 1
    assert await plan_api.balance(user) == (0, 1)
    assert len(await _jobs(nats_url)) == 1


async def test_a_key_with_another_body_conflicts(plan_api: "PlanApi", user: UUID) -> None:
    """409, and the first plan stands alone."""
    await plan_api.start(user, await plan_api.store_inputs(user), idempotency_key="k")
    response = await plan_api.start(user, await plan_api.store_inputs(user), idempotency_key="k")
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_conflict")
    assert await plan_api.balance(user) == (0, 1)


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"quota_plans_per_month": 7}, "quota_exceeded"), ({"max_running_plans_per_user": 5}, "too_many_running")],
)
async def test_limits_hold_under_concurrency(
    launch: "Callable[..., Awaitable[PlanApi]]",
    nats_url: str,
    ready: Callable[..., Awaitable[None]],
    user: UUID,
    settings: dict[str, int],
    code: str,
) -> None:
    """Thirty at once: exactly as many as the limit allows are accepted, and the ledger agrees."""
    api = await launch(nats_url, **settings)
    await ready(api)
    preference_id = await api.store_inputs(user)
    answers = await asyncio.gather(*(api.start(user, preference_id) for _ in range(30)))
    [limit] = settings.values()
    assert [answer.status_code for answer in answers].count(201) == limit
    assert {answer.json()["code"] for answer in answers if answer.status_code != 201} == {code}
    assert await api.balance(user) == (0, limit)


async def test_a_new_month_inherits_the_limit(plan_api: "PlanApi", user: UUID) -> None:
    """The user's latest limit holds for the month that opens; its counters begin at zero."""
    await plan_api.admin.execute(
        "INSERT INTO plan_api.quota_accounts (user_id, period, used, plan_limit) VALUES ($1, '2020-01-01', 3, 2)", user
    )
    before = (await plan_api.ask("GET", "/api/plan/quota", user)).json()
    await plan_api.started(user)
    after = (await plan_api.ask("GET", "/api/plan/quota", user)).json()
    assert (before["limit"], before["used"], before["reserved"]) == (2, 0, 0)
    assert (after["limit"], after["used"], after["reserved"], after["remaining"]) == (2, 0, 1, 1)


async def test_a_user_limit_of_zero_allows_none(plan_api: "PlanApi", user: UUID) -> None:
    """A user's own limit counts before the default, also when it is 0."""
    await plan_api.admin.execute(
        "INSERT INTO plan_api.quota_accounts (user_id, period, plan_limit)"
        " VALUES ($1, date_trunc('month', now() AT TIME ZONE 'UTC')::date, 0)",
        user,
    )
    response = await plan_api.start(user, await plan_api.store_inputs(user))
    assert (response.status_code, response.json()["code"]) == (402, "quota_exceeded")


async def test_postgres_away_is_503_on_every_route(
    launch: "Callable[..., Awaitable[PlanApi]]", nats_url: str, postgres_line: "PostgresLine", user: UUID
) -> None:
    """The quota's store cannot be reached: everything is refused with Retry-After, and it comes back by itself."""
    api = await launch(nats_url, database_url=SecretStr(postgres_line.url))
    preference_id = await api.store_inputs(user)
    plan = {"preferenceId": preference_id}
    requests = (
        ("POST", "/api/plan/inputs", {"userId": str(user), "goals": "x"}),
        ("GET", f"/api/plan/inputs/{preference_id}", None),
        ("GET", "/api/plan/quota", None),
        ("GET", "/api/plan/plans", None),
        ("GET", f"/api/plan/plans/{uuid4()}", None),
        ("DELETE", f"/api/plan/plans/{uuid4()}", None),
        ("POST", "/api/plan/generate", plan),
        ("POST", "/service/generate", plan | {"userId": str(user)}),
        ("POST", "/internal/generations", plan),
        ("GET", f"/internal/generations/{uuid4()}", None),
        ("POST", "/internal/batches", {"preferenceIds": [preference_id]}),
        ("GET", f"/internal/batches/{uuid4()}", None),
    )
    await postgres_line.cut()
    for method, path, body in requests:
        response = await api.ask(method, path, user, body)
        assert (response.status_code, response.json()["code"]) == (503, "unavailable"), (method, path)
        assert int(response.headers["retry-after"]) > 0
    await postgres_line.mend()
    assert (await api.ask("GET", "/api/plan/quota", user)).status_code == 200
