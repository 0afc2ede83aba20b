"""The synchronous call, which needs HTTP and Postgres alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from common.contracts.errors import ErrorCode
from common.contracts.internal import PlanView
from common.contracts.messages import GenerateJob

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi

NO_NATS = "nats://127.0.0.1:9"
Launch = Callable[..., Awaitable["PlanApi"]]


async def _generate(api: "PlanApi", user: UUID, preference_id: str, **headers: str) -> Any:
    return await api.ask("POST", "/api/plan/generate", user, {"preferenceId": preference_id}, **headers)


async def test_a_plan_is_written_with_nats_down(launch: Launch, user: UUID) -> None:
    """200 with the plan and its usage; the job says sync, and one plan is used."""
    api = await launch(NO_NATS)
    response = await _generate(api, user, await api.store_inputs(user))
    [job] = api.generator.jobs
    assert response.status_code == 200
    assert response.json()["status"] == "completed"
    assert response.json()["planId"] == str(job.plan_id)
    assert response.json()["plan"]["monthly_summary"] == "A month of steady work."
    assert response.json()["usage"]["totalTokens"] == 5
    assert (job.mode, job.user_id, job.preferences.goals) == ("sync", user, "Learn to play the cello")
    assert await api.balance(user) == (1, 0)


async def test_another_service_names_the_user_in_the_body(launch: Launch, user: UUID) -> None:
    """POST /service/generate works without X-User-Id, and not without userId; the inputs must be that user's."""
    api = await launch(NO_NATS)
    body = {"preferenceId": await api.store_inputs(user)}
    missing = await api.ask("POST", "/service/generate", None, body)
    stranger = await api.ask("POST", "/service/generate", None, body | {"userId": str(uuid4())})
    written = await api.ask("POST", "/service/generate", None, body | {"userId": str(user)})
    assert (missing.status_code, missing.json()["code"]) == (422, "invalid_input")
    assert (stranger.status_code, written.status_code) == (404, 200)
    assert await api.balance(user) == (1, 0)


@pytest.mark.parametrize(
    ("code", "status"), [(ErrorCode.UPSTREAM_ERROR, 502), (ErrorCode.UPSTREAM_TIMEOUT, 504), (None, 502)]
)
async def test_a_failed_generation_is_a_problem_and_costs_nothing(
    launch: Launch, user: UUID, code: ErrorCode | None, status: int
) -> None:
    """The stored code with its status, or that it was cancelled; the key is free for another try."""
    api = await launch(NO_NATS)
    preference_id = await api.store_inputs(user)
    api.generator.writes = lambda job: api.generator.ended(job.plan_id, job.user_id, "failed", "released", code)
    failed = await _generate(api, user, preference_id, idempotency_key="k")
    assert (failed.status_code, failed.json()["code"]) == (status, code or "cancelled")
    assert await api.balance(user) == (0, 0)
    api.generator.writes = lambda job: api.generator.ended(job.plan_id, job.user_id)
    assert (await _generate(api, user, preference_id, idempotency_key="k")).status_code == 200
    assert await api.balance(user) == (1, 0)


async def test_a_plan_that_the_generator_could_not_finish_in_time_is_a_timeout(launch: Launch, user: UUID) -> None:
    """Its 504 is an answer: it is passed on, nobody is asked again, and the plan stays reserved until its row says."""
    api = await launch(NO_NATS)
    api.generator.late = True
    answer = await _generate(api, user, await api.store_inputs(user))
    assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")
    assert len(api.generator.jobs) == 1
    assert await api.balance(user) == (0, 1)


async def test_a_generator_that_is_away_leaves_the_reservation(launch: Launch, user: UUID) -> None:
    """503 after retries; the key leads to the same plan once the generator is back."""
    api = await launch(NO_NATS)
    preference_id = await api.store_inputs(user)
    api.generator.away = True
    refused = await _generate(api, user, preference_id, idempotency_key="k")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert await api.balance(user) == (0, 1)
    await api.reconciler.sweep(0)
    assert await api.balance(user) == (0, 1)
    api.generator.away = False
    answered = await _generate(api, user, preference_id, idempotency_key="k")
    assert (answered.status_code, await api.count("generations")) == (200, 1)
    assert await api.balance(user) == (1, 0)


@pytest.mark.provokes("crash", "the scripted generator breaks off")
async def test_a_lost_answer_is_found_by_the_reconciler(launch: Launch, user: UUID) -> None:
    """The plan was written, its answer lost: the generator's row settles it."""
    api = await launch(NO_NATS)

    def write_and_vanish(job: GenerateJob) -> PlanView:
        api.generator.away = True
        api.generator.ended(job.plan_id, job.user_id)
        raise ConnectionError

    api.generator.writes = write_and_vanish
    assert (await _generate(api, user, await api.store_inputs(user))).status_code == 503
    api.generator.away = False
    await api.reconciler.sweep(0)
    assert await api.balance(user) == (1, 0)


async def test_a_plan_that_is_not_finished_stays_reserved(launch: Launch, user: UUID) -> None:
    """A generator that answers before the end, as one does that drains, settles nothing."""
    api = await launch(NO_NATS)
    api.generator.writes = lambda job: api.generator.running(job.plan_id, job.user_id)
    assert (await _generate(api, user, await api.store_inputs(user))).status_code == 503
    assert await api.balance(user) == (0, 1)


async def test_identical_keyed_calls_write_one_plan(launch: Launch, user: UUID) -> None:
    """Twins get the same plan; the generator hears of one planId only."""
    api = await launch(NO_NATS)
    preference_id = await api.store_inputs(user)
    answers = await asyncio.gather(*(_generate(api, user, preference_id, idempotency_key="k") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["planId"] for answer in answers}) == 1
    assert len({job.plan_id for job in api.generator.jobs}) == 1
    assert await api.balance(user) == (1, 0)


async def test_the_quota_holds_for_the_synchronous_call(launch: Launch, user: UUID) -> None:
    """402 before the generator hears of it."""
    api = await launch(NO_NATS, quota_plans_per_month=1)
    preference_id = await api.store_inputs(user)
    assert (await _generate(api, user, preference_id)).status_code == 200
    refused = await _generate(api, user, preference_id)
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded")
    assert len(api.generator.jobs) == 1
