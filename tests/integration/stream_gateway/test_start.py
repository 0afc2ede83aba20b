"""Starting a plan: the stream at once, or where to find it; refusals pass through; who may start for whom."""

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import jwt
import orjson
import pytest
from starlette.responses import Response

from common import sse
from stream_gateway.auth import LEEWAY_SECONDS
from testkit.secrecy import JWT_SECRET

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory, Owner

PATH = "/api/streaming/generate-plan"
SECRET = JWT_SECRET
JWT = {"auth_mode": "jwt", "jwt_secret": SECRET, "jwt_issuer": "https://issuer.test", "jwt_audience": "planstream"}


def _body(user: UUID, **changes: Any) -> dict[str, Any]:
    return {"preferenceId": str(uuid4()), "userId": str(user)} | changes


async def _begin(gateway: "Gateway", user: UUID) -> tuple[int, Any]:
    """Start a plan; the status, and what `connected` says when it streams."""
    async with gateway.client.stream("POST", PATH, json=_body(user)) as response:
        if response.status_code != 200:
            return response.status_code, None
        decoder = sse.Decoder()
        async for chunk in response.aiter_raw():
            for event in decoder.feed(chunk):
                return 200, orjson.loads(event.data)
    return 200, None


def _token(user: UUID, **changes: Any) -> dict[str, str]:
    claims = {"sub": str(user), "iss": "https://issuer.test", "aud": "planstream", "exp": 4_000_000_000} | changes
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


async def test_a_start_streams_at_once(
    gateway: "Gateway", user: UUID, backend: "Backend", own: "Callable[..., Owner]"
) -> None:
    """`connected` with the planId and phase queued comes before any generator has heard of the plan; the user is the
    body's in development, the wish is to abort when everybody has left, and the key is passed on."""
    headers = {"Idempotency-Key": "k-1"}
    async with gateway.open("POST", PATH, json=_body(user), headers=headers) as stream:
        connected = await stream.event("connected")
        assert (connected["status"], connected["phase"]) == ("generating", "queued")
        owner = own(UUID(connected["planId"]))
        await owner.claim()
        await owner.say("a plan")
        await owner.complete()
        assert await stream.end() == "complete"
    assert stream.document == {"monthly_summary": "a plan"}
    [request] = backend.requests
    assert request["headers"]["x-user-id"] == str(user)
    assert request["headers"]["idempotency-key"] == "k-1"
    assert request["headers"]["authorization"].startswith("Bearer canary")
    assert request["body"]["onDisconnectDefault"] == "abort"


async def test_a_client_that_asks_for_json_gets_addresses(gateway: "Gateway", user: UUID, backend: "Backend") -> None:
    """202 with the two addresses, which work; and the plan is written to its end without viewers."""
    headers = {"Accept": "application/json", "X-User-Id": str(user)}
    response = await gateway.client.post(PATH, json={"preferenceId": str(uuid4())}, headers=headers)
    told = response.json()
    assert response.status_code == 202
    assert told["eventsUrl"] == response.headers["location"] == f"/api/streaming/events/{told['planId']}"
    assert backend.requests[0]["body"]["onDisconnectDefault"] == "continue"
    status = await gateway.client.get(told["statusUrl"], headers=headers)
    expected = {"planId": told["planId"], "status": "generating", "phase": "queued", "seq": 0, "attempt": 0}
    assert expected.items() <= status.json().items()
    assert (status.json()["error"], status.json()["progress"]["weeksTotal"]) == (None, 5)
    async with gateway.open("GET", told["eventsUrl"], headers=headers) as stream:
        assert (await stream.event("connected"))["phase"] == "queued"


@pytest.mark.provokes("5xx", "plan-api refuses")
@pytest.mark.parametrize(
    ("status", "code"), [(402, "quota_exceeded"), (409, "idempotency_conflict"), (503, "unavailable")]
)
async def test_refusals_of_plan_api_pass_through(
    gateway: "Gateway", user: UUID, backend: "Backend", status: int, code: str
) -> None:
    """A problem before the stream is plan-api's own, with its Retry-After."""
    problem = f'{{"title":"No","status":{status},"code":"{code}","detail":"Because."}}'
    backend.refusal = Response(problem, status, {"Retry-After": "9"}, media_type="application/problem+json")
    response = await gateway.client.post(PATH, json=_body(user))
    assert (response.status_code, response.text) == (status, problem)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "9"


async def test_what_is_wrong_with_a_start_is_said(gateway: "Gateway", user: UUID, backend: "Backend") -> None:
    """Another's userId, no user, no JSON, unknown fields, too much: each has its code, and plan-api hears of none."""
    own, client = {"X-User-Id": str(user)}, gateway.client
    answers = [
        await client.post(PATH, json=_body(uuid4()), headers=own),
        await client.post(PATH, json={"preferenceId": str(uuid4())}),
        await client.post(PATH, json=_body(user, userId="me")),
        await client.post(PATH, content=b"{}", headers=own),
        await client.post(PATH, json=_body(user, more=1)),
        await client.post(PATH, content=b"{", headers=own | {"Content-Type": "application/json"}),
        await client.post(PATH, content=b" " * 70_000, headers=own | {"Content-Type": "application/json"}),
        await client.get(PATH, headers=own),
        await client.post("/service/generate", json=_body(user)),
        await client.post("/internal/generations", json=_body(user)),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (403, "forbidden"),
        (401, "unauthorized"),
        (401, "unauthorized"),
        (415, "unsupported_media_type"),
        (422, "invalid_input"),
        (422, "invalid_input"),
        (413, "payload_too_large"),
        (405, "method_not_allowed"),
        (404, "not_found"),
        (404, "not_found"),
    ]
    assert "X-User-Id" in answers[1].json()["detail"]
    assert backend.seen == []


async def test_the_cap_on_streams_refuses_before_the_admission(
    make_gateway: "GatewayFactory", user: UUID, backend: "Backend", until: "Callable[..., Awaitable[None]]"
) -> None:
    """Of two starts at once with room for one, one streams and plan-api never hears of the other."""
    gateway = await make_gateway(max_streams_per_user=1)
    backend.admitting = asyncio.Event()
    first = asyncio.create_task(_begin(gateway, user))
    await until(lambda: len(backend.requests) == 1)
    second = asyncio.create_task(_begin(gateway, user))
    await until(lambda: second.done() or len(backend.requests) == 2)
    backend.admitting.set()
    assert (await second)[0] == 429
    status, connected = await first
    assert (status, UUID(connected["planId"]) in backend.owners) == (200, True)
    assert len(backend.requests) == 1
    # The place is free again, also after a refusal of plan-api.
    backend.refusal = Response(status_code=402)
    assert [(await _begin(gateway, user))[0] for _ in range(2)] == [402, 402]
    backend.refusal = None
    assert (await _begin(gateway, user))[0] == 200


@pytest.mark.provokes("5xx", "the gateway is told to end")
async def test_a_drain_during_the_admission_loses_no_plan(
    gateway: "Gateway", user: UUID, backend: "Backend", until: "Callable[..., Awaitable[None]]"
) -> None:
    """The plan is accepted: its stream says which it is and closes without an end, so that the client resumes."""
    backend.admitting = asyncio.Event()
    start = asyncio.create_task(gateway.client.post(PATH, json=_body(user)))
    await until(lambda: len(backend.requests) == 1)
    gateway.draining.begin()
    backend.admitting.set()
    answer = await start
    [event] = sse.Decoder().feed(answer.content)
    assert (answer.status_code, event.event) == (200, "connected")
    assert UUID(orjson.loads(event.data)["planId"]) in backend.owners
    assert (await gateway.client.post(PATH, json=_body(user))).status_code == 503
    assert len(backend.requests) == 1


async def test_tokens_are_checked_and_end_the_stream(
    make_gateway: "GatewayFactory", owner: "Owner", user: UUID
) -> None:
    """In jwt mode only a good token counts, X-User-Id counts nothing, and the stream ends with the token."""
    gateway = await make_gateway(**JWT)
    path = f"/api/streaming/events/{owner.plan_id}"
    bad: list[dict[str, str]] = [
        {"X-User-Id": str(user)},
        _token(user, exp=1_000_000_000),
        _token(user, iss="https://other.test"),
        _token(user, aud="other"),
        _token(user, sub="nobody"),
        {"Authorization": f"Bearer {jwt.encode({'sub': str(user)}, SECRET, 'HS256')}"},
        {"Authorization": "Basic abc"},
    ]
    for headers in bad:
        response = await gateway.client.get(path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert (await gateway.client.get(path, headers=_token(uuid4()))).status_code == 404
    async with gateway.open("GET", path, headers=_token(user) | {"X-User-Id": str(uuid4())}) as stream:
        await stream.event("snapshot")
    # Expired, and good for about a second more by the leeway for clocks that differ.
    soon = int(time.time()) - LEEWAY_SECONDS + 2
    async with gateway.open("GET", path, headers=_token(user, exp=soon)) as stream:
        assert await stream.end() == "snapshot"


@pytest.mark.provokes("5xx", "plan-api is away")
async def test_plan_api_away_is_503(gateway: "Gateway", user: UUID, make_gateway: "GatewayFactory") -> None:
    """Nobody at plan-api's address: unavailable, with when to come again, on every route that needs it."""
    lonely = await make_gateway(plan_api_url="http://127.0.0.1:1")
    headers = {"X-User-Id": str(user)}
    answers: list[httpx.Response] = [
        await lonely.client.post(PATH, json=_body(user)),
        await lonely.client.get("/api/plan/quota", headers=headers),
        await lonely.client.get(f"/api/streaming/events/{uuid4()}", headers=headers),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "5"
