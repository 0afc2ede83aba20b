"""Bad input: each is a problem document with its code, and nothing is stored."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from local_stack import Stack
from testkit import OpenStack, User, written

GOOD: dict[str, Any] = {"goals": "Learn to whittle"}
NOBODYS_ID = "7d0e8f4c-52a4-4f3e-9a70-3c1b8f1f1a01"
TABLES = (
    "plan_api.user_goals_and_preferences",
    "plan_api.generations",
    "plan_api.quota_ledger",
    "plan_api.idempotency_keys",
    "plan_api.outbox",
    "generator.monthly_plans",
)


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[User]:
    """Somebody of the test's own."""
    async with User.at(stack.gateway) as somebody:
        yield somebody


async def stored(stack: Stack, user: User) -> dict[str, int]:
    """How many rows of this user each table holds."""
    connection = await asyncpg.connect(stack.addresses.admin_url)
    try:
        counts = {}
        for table in TABLES:
            if table == "plan_api.outbox":
                counts[table] = await connection.fetchval(
                    "SELECT count(*) FROM plan_api.outbox WHERE plan_id IN"
                    " (SELECT plan_id FROM plan_api.generations WHERE user_id = $1)",
                    user.id,
                )
            else:
                counts[table] = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user.id)
        return counts
    finally:
        await connection.close()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem, in RFC 9457's form, and says what to do."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert len(document["detail"]) > 10
    assert "Traceback" not in answer.text
    return document


WRONG: dict[str, dict[str, Any]] = {
    "goals missing": {},
    "goals a number": {"goals": 7},
    "goals empty": {"goals": ""},
    "goals blank": {"goals": "   "},
    "goals too long": {"goals": "x" * 5000},
    "focus areas a text": GOOD | {"focusAreas": "music"},
    "too many focus areas": GOOD | {"focusAreas": ["a"] * 50},
    "hours of no day": GOOD | {"availableHours": {"someday": 2}},
    "hours negative": GOOD | {"availableHours": {"monday": -1}},
    "hours more than a day": GOOD | {"availableHours": {"monday": 25}},
    "hours a text": GOOD | {"availableHours": {"monday": "2"}},
    "commitment without end": GOOD | {"fixedCommitments": [{"day": "monday", "startTime": "09:00"}]},
    "commitment at 25 o'clock": GOOD
    | {"fixedCommitments": [{"day": "monday", "startTime": "25:00", "endTime": "26:00", "description": "x"}]},
    "ambition unknown": GOOD | {"ambition": "heroic"},
    "start date nonsense": GOOD | {"startDate": "2026-13-01"},
    "goals with NUL": {"goals": "a\0b"},
    "focus area with NUL": GOOD | {"focusAreas": ["a\0b"]},
    "start date a number": GOOD | {"startDate": 86400},
    "start date in digits": GOOD | {"startDate": "86400"},
    "weeks with a fraction": GOOD | {"weeks": 5.0},
    "commitment in other digits": GOOD
    | {"fixedCommitments": [{"day": "monday", "startTime": "1\u0660:00", "endTime": "12:00", "description": "x"}]},
    "three weeks": GOOD | {"weeks": 3},
    "weeks a text": GOOD | {"weeks": "4"},
    "unknown field": GOOD | {"colour": "blue"},
    "user id no UUID": GOOD | {"userId": "me"},
    "user id in braces": GOOD | {"userId": f"{{{NOBODYS_ID}}}"},
    "user id without hyphens": GOOD | {"userId": NOBODYS_ID.replace("-", "")},
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_inputs(stack: Stack, user: User, case: str) -> None:
    """Each wrong field is named, and no row is written."""
    body = {"userId": str(user.id)} | WRONG[case]
    document = problem(await user.http.post("/api/plan/inputs", json=body), 422, "invalid_input")
    assert document["errors"][0]["pointer"]
    assert not any((await stored(stack, user)).values())


@pytest.mark.parametrize("path", ["/api/plan/inputs", "/api/streaming/generate-plan", "/api/plan/generate"])
@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b'{"userId": ', {}, 422, "invalid_input"),
        (b"", {}, 422, "invalid_input"),
        (b"\xff\xfe", {}, 422, "invalid_input"),
        (b"[]", {}, 422, "invalid_input"),
        (b"[" * 50_000, {}, 422, "invalid_input"),
        (b'{"goals": "' + b"x" * 200_000 + b'"}', {}, 413, "payload_too_large"),
        (b"goals=run", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    ],
    ids=["cut", "empty", "no utf-8", "no object", "deep", "large", "form"],
)
async def test_malformed_bodies(
    stack: Stack, user: User, path: str, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """What is not a JSON object of a sensible size is refused on every route that takes one."""
    headers = {"Content-Type": "application/json"} | headers
    problem(await user.http.post(path, content=content, headers=headers), status, code)
    assert not any((await stored(stack, user)).values())


@pytest.mark.parametrize("path", ["/api/streaming/generate-plan", "/api/plan/generate"])
@pytest.mark.parametrize("preference", [NOBODYS_ID, "not-a-uuid", None, 7, "../../internal"])
async def test_unknown_preferences(stack: Stack, user: User, path: str, preference: Any) -> None:
    """A start needs preferences that exist; an id that is none is wrong input."""
    answer = await user.http.post(path, json={"preferenceId": preference, "userId": str(user.id)})
    known_form = isinstance(preference, str) and len(preference) == 36
    problem(answer, *((404, "not_found") if known_form else (422, "invalid_input")))
    assert not any((await stored(stack, user)).values())


async def test_somebody_elses_user_id(stack: Stack, user: User) -> None:
    """A body cannot speak for another user."""
    body = GOOD | {"userId": str(uuid4())}
    problem(await user.http.post("/api/plan/inputs", json=body), 403, "forbidden")
    preference_id = await user.inputs()
    start = {"preferenceId": preference_id, "userId": str(uuid4())}
    problem(await user.http.post("/api/streaming/generate-plan", json=start), 403, "forbidden")
    assert (await stored(stack, user))["plan_api.generations"] == 0


@pytest.mark.parametrize(
    "plan_id",
    [NOBODYS_ID, "not-a-uuid", "%2e%2e", "x" * 5000, "1' OR '1'='1", "%00", "*", ">"],
)
@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", "/api/streaming/events/{}"),
        ("GET", "/api/streaming/status/{}"),
        ("DELETE", "/api/streaming/cancel/{}"),
        ("GET", "/api/plan/plans/{}"),
        ("DELETE", "/api/plan/plans/{}"),
        ("GET", "/api/plan/inputs/{}"),
    ],
)
async def test_unknown_ids(user: User, method: str, route: str, plan_id: str) -> None:
    """An id that nobody has given out is not found, whatever it looks like."""
    problem(await user.http.request(method, route.format(plan_id)), 404, "not_found")


async def test_methods_and_paths_that_do_not_exist(user: User) -> None:
    """Unknown routes and methods are problems, too; internal routes are not reachable through the gateway."""
    problem(await user.http.put("/api/plan/inputs", json=GOOD), 405, "method_not_allowed")
    problem(await user.http.get("/api/nothing"), 404, "not_found")
    for path in ("/internal/generations", "/service/generate", "/api/plan/../../service/generate"):
        answer = await user.http.post(path, json=GOOD)
        assert answer.status_code in (404, 405), answer.text


async def test_nobody_in_particular(stack: Stack) -> None:
    """Without a user there is nothing to see, and the answer says what to send."""
    async with httpx.AsyncClient(base_url=stack.gateway) as client:
        problem(await client.get("/api/plan/quota"), 401, "unauthorized")
        problem(await client.get("/api/plan/quota", headers={"X-User-Id": "me"}), 401, "unauthorized")


async def test_no_quota_left_and_too_many_running(open_stack: OpenStack) -> None:
    """Two plans a month, one at a time: the next start is refused, stores nothing, and says when to come back."""
    slow = {"EMULATOR_TOKENS_PER_SECOND": "20"}
    limits = {"QUOTA_PLANS_PER_MONTH": "2", "MAX_RUNNING_PLANS_PER_USER": "1"}
    async with open_stack(slow | limits) as stack, User.at(stack.gateway) as user:
        preference_id = await user.inputs()
        plan_id = await user.start()
        before = await stored(stack, user)
        for path in ("/api/streaming/generate-plan", "/api/plan/generate"):
            refused = await user.http.post(path, json=user.body(preference_id))
            problem(refused, 429, "too_many_running")
            assert int(refused.headers["retry-after"]) > 0
        assert await stored(stack, user) == before
        await cancel_with_content(user, plan_id)
        await cancel_with_content(user, await user.start())
        await user.settled()
        before = await stored(stack, user)
        for path in ("/api/streaming/generate-plan", "/api/plan/generate"):
            problem(await user.http.post(path, json=user.body(preference_id)), 402, "quota_exceeded")
        assert await stored(stack, user) == before


async def cancel_with_content(user: User, plan_id: UUID) -> None:
    """Only what has content is charged."""
    await user.viewer(plan_id).watch(until=written(20))
    assert (await user.cancel(plan_id)).json()["status"] == "partial"


@pytest.mark.parametrize("name", ["Accept", "Content-Type", "Idempotency-Key"])
async def test_headers_that_are_not_ascii(user: User, name: str) -> None:
    """A byte that HTTP clients rarely send is no reason for a 5xx."""
    headers = {"Content-Type": "application/json", name: b"text/\xe9"}
    body = b'{"userId": "%b", "goals": "x"}' % str(user.id).encode()
    answer = await user.http.post("/api/plan/inputs", content=body, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code < 500, answer.text
