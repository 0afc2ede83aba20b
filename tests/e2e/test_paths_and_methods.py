"""No path, method or header leads through the gateway to what is between the services."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from local_stack import Stack
from testkit import User
from testkit.raw_http import ask, request

UP = (
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "..;",
    "..;a=b",
    "..%00",
    "..%09",
    "%c0%ae%c0%ae",
    "..%5c..",
    "..\\..",
)
BETWEEN = ("/", "//", "/./", "%2f", "%2F", "%252f", "\\", "%5c", ";/", "/;/", "%00/", "%0d%0a", "%20/", "/%20")
INSIDE = ("internal/generations", "service/generate", "internal/batches")
METHODS = ("HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "PATCH", "PUT", "PURGE", "LINK")
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method")


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[User]:
    """Somebody of the test's own."""
    async with User.at(stack.gateway) as somebody:
        yield somebody


def tricks() -> list[str]:
    """Ways out of `/api/plan/`, and straight ways in."""
    out = [
        f"/api/plan{between}{up}{between}{up}{between}{inside}" for up in UP for between in BETWEEN for inside in INSIDE
    ]
    named = [f"/api/plan/{inside}" for inside in INSIDE] + [f"/api/plan/inputs;/../../../{inside}" for inside in INSIDE]
    doubled = [f"{slashes}{inside}" for slashes in ("/", "//", "/;/", "/.//") for inside in INSIDE]
    # A whole URL as the target: its host is not where it goes.
    whole = [f"http://{host}/{inside}" for host in ("127.0.0.1", "plan-api:8081") for inside in INSIDE]
    return [*out, *named, *doubled, *whole]


async def test_no_path_leads_inside(stack: Stack, user: User) -> None:
    """With a good body, the same hundreds of ways: nothing is there, and no plan begins."""
    preference = await user.inputs()
    body = b'{"preferenceId": "%b", "userId": "%b"}' % (preference.encode(), str(user.id).encode())
    lines = (f"X-User-Id: {user.id}", "Content-Type: application/json", f"Authorization: Bearer {uuid4()}")
    for some in batched(tricks(), 50):
        asked = (ask(stack.gateway, request("POST", path, *lines, body=body)) for path in some)
        for path, answer in zip(some, await asyncio.gather(*asked), strict=True):
            assert answer.status in (400, 404, 405), (path, answer)
            assert answer.problem["code"] in {"invalid_input", "not_found", "method_not_allowed"}
    assert (await user.get("/api/plan/plans"))["plans"] == []


async def test_the_service_token_opens_nothing_here(stack: Stack, user: User) -> None:
    """Even whoever has it meets the same public door, under their own name."""
    token = f"Authorization: Bearer {stack.addresses.service_token}"
    for inside in INSIDE:
        answer = await ask(stack.gateway, request("POST", f"/{inside}", token, f"X-User-Id: {user.id}", body=b"{}"))
        assert answer.status in (404, 405)
    assert (await ask(stack.gateway, request("GET", "/api/plan/quota", token))).problem["code"] == "unauthorized"


async def test_other_methods_are_told_so(stack: Stack, user: User) -> None:
    """405 with the methods that there are; nothing is echoed, deleted or started."""
    plan_id = await user.start()
    for path in (
        f"/api/plan/plans/{plan_id}",
        f"/api/streaming/events/{plan_id}",
        "/api/session",
        "/",
        "/livez",
        "/docs",
    ):
        for method in METHODS:
            answer = await ask(stack.gateway, request(method, path, f"X-User-Id: {user.id}", "X-Canary: tell-me"))
            if method == "HEAD":
                assert (answer.body, answer.status) == (b"", 405 if path == "/api/session" else 200)
            else:
                assert answer.problem["code"] == "method_not_allowed", (method, path)
                assert answer.headers["allow"]
            assert b"tell-me" not in answer.body
    await user.get(f"/api/plan/plans/{plan_id}")


async def test_no_header_makes_another_method(stack: Stack, user: User) -> None:
    """A GET or a POST that says that it is a DELETE is none."""
    plan_id: UUID = await user.start()
    for path in (f"/api/plan/plans/{plan_id}", f"/api/streaming/status/{plan_id}", f"/api/streaming/cancel/{plan_id}"):
        for method in ("GET", "POST"):
            lines = [f"X-User-Id: {user.id}", *(f"{name}: DELETE" for name in OVERRIDES)]
            await ask(stack.gateway, request(method, f"{path}?_method=DELETE", *lines))
    assert (await user.status(plan_id))["status"] in {"generating", "completed"}


def batched(items: list[str], size: int) -> list[list[str]]:
    """In lists of so many."""
    return [items[start : start + size] for start in range(0, len(items), size)]
