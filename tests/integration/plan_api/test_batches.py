"""Batches: each plan is admitted or refused by itself, all in one transaction and in one answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import pytest

from plan_api import metrics
from testkit.metrics import counted

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi

Launch = Callable[..., Awaitable["PlanApi"]]
Ready = Callable[["PlanApi"], Awaitable[None]]


async def _batch(api: "PlanApi", user: UUID, ids: list[str], key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"idempotency_key": key}
    return await api.ask("POST", "/internal/batches", user, {"preferenceIds": ids}, **headers)


async def _inputs(api: "PlanApi", user: UUID, number: int) -> list[str]:
    return [await api.store_inputs(user) for _ in range(number)]


async def test_each_plan_of_a_batch_is_admitted_or_refused(plan_api: "PlanApi", user: UUID) -> None:
    """In the order of the request; what is refused says why, and keeps nobody else out."""
    first, second = await _inputs(plan_api, user, 2)
    strangers = await plan_api.store_inputs(uuid4())
    answer = await _batch(plan_api, user, [first, strangers, second])
    assert answer.status_code == 202
    items = answer.json()["items"]
    assert [item["preferenceId"] for item in items] == [first, strangers, second]
    assert [item["planId"] is None for item in items] == [False, True, False]
    assert items[1]["error"]["code"] == "not_found"
    assert await plan_api.balance(user) == (0, 2)
    assert await plan_api.count("outbox") == 0
    read = await plan_api.ask("GET", f"/internal/batches/{answer.json()['batchId']}", None)
    assert read.json() == answer.json()


@pytest.mark.parametrize(
    ("limit", "code"), [("quota_plans_per_month", "quota_exceeded"), ("max_running_plans_per_user", "too_many_running")]
)
async def test_a_batch_stops_at_the_limits(
    launch: Launch, ready: Ready, nats_url: str, user: UUID, limit: str, code: str
) -> None:
    """What is left is given out in order, and the rest is refused one by one."""
    api = await launch(nats_url, **{limit: 2})
    await ready(api)
    items = (await _batch(api, user, await _inputs(api, user, 4))).json()["items"]
    assert [(item["error"] or {}).get("code") for item in items] == [None, None, code, code]
    assert await api.balance(user) == (0, 2)


async def test_a_lost_outcome_keeps_no_batch_out(launch: Launch, ready: Ready, nats_url: str, user: UUID) -> None:
    """Rule 13: before a limit refuses, what has ended without our knowing is settled."""
    api = await launch(nats_url, max_running_plans_per_user=1)
    await ready(api)
    api.generator.ended(await api.started(user), user, "failed", "released")
    [item] = (await _batch(api, user, await _inputs(api, user, 1))).json()["items"]
    assert item["error"] is None


async def test_a_batch_needs_nats(launch: Launch, user: UUID) -> None:
    """503 for the whole, and nothing is stored."""
    api = await launch("nats://127.0.0.1:1")
    answer = await _batch(api, user, await _inputs(api, user, 1))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert await api.count("batches") == 0


async def test_a_repeated_batch_is_the_same_batch(plan_api: "PlanApi", user: UUID) -> None:
    """Ten twins at once get one batch and its plans, counted once; another body with the key is a conflict."""
    ids = await _inputs(plan_api, user, 3)
    with counted(metrics.ADMISSIONS) as admissions:
        answers = await asyncio.gather(*(_batch(plan_api, user, ids, "twin") for _ in range(10)))
    assert admissions() == 3
    assert len({answer.text for answer in answers}) == 1
    assert await plan_api.balance(user) == (0, 3)
    other = await _batch(plan_api, user, ids[:2], "twin")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize("number", [0, 21])
async def test_the_size_of_a_batch_is_bounded(plan_api: "PlanApi", user: UUID, number: int) -> None:
    """1 to 20 plans; nothing is stored otherwise."""
    answer = await _batch(plan_api, user, [str(uuid4()) for _ in range(number)])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_a_batch_names_each_input_once(plan_api: "PlanApi", user: UUID) -> None:
    """A slip of the client's must not be two plans."""
    [preference_id] = await _inputs(plan_api, user, 1)
    answer = await _batch(plan_api, user, [preference_id, preference_id])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert "once" in answer.json()["detail"]


async def test_an_unknown_batch_is_not_found(plan_api: "PlanApi") -> None:
    """Also when its id is no UUID."""
    for unknown in (str(uuid4()), "nonsense"):
        answer = await plan_api.ask("GET", f"/internal/batches/{unknown}", None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_batch_that_was_refused_as_a_whole_is_not_remembered(plan_api: "PlanApi", user: UUID) -> None:
    """The same key may be granted plans later; one plan is enough to bind it."""
    refused = await _batch(plan_api, user, [str(uuid4())], "k")
    assert refused.json()["items"][0]["error"]["code"] == "not_found"
    ids = await _inputs(plan_api, user, 1)
    granted = [await _batch(plan_api, user, ids, "k") for _ in range(2)]
    assert granted[0].json() == granted[1].json()
    assert await plan_api.balance(user) == (0, 1)
