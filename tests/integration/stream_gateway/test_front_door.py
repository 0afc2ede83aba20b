"""What every answer carries and every request meets: CORS, security headers, a request id, limits; and no secret."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import jwt
import pytest

from local_stack.ports import free_port
from testkit.gateway.backend import TOKEN
from testkit.secrecy import JWT_SECRET

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory, Owner

APP, EVIL = "https://app.example.test", "https://evil.test"
SECRET = JWT_SECRET
JWT = {"auth_mode": "jwt", "jwt_secret": SECRET, "jwt_issuer": "i", "jwt_audience": "a", "allowed_origins": APP}
ROUTES = (
    "/",
    "/livez",
    "/readyz",
    "/api/session",
    "/api/plan/quota",
    "/api/streaming/generate-plan",
    f"/api/streaming/events/{uuid4()}",
    "/nothing",
)


def _bearer(user: UUID) -> dict[str, str]:
    claims = {"sub": str(user), "iss": "i", "aud": "a", "exp": 4_000_000_000}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


@pytest.fixture
async def front(make_gateway: "GatewayFactory") -> "Gateway":
    """A gateway that asks for tokens, with one page of another origin."""
    return await make_gateway(**JWT)


async def test_every_route_answers_a_preflight(front: "Gateway") -> None:
    """Before anybody has said who they are; a foreign origin is refused, and told so."""
    ask = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization,last-event-id"}
    for path in ROUTES:
        answer = await front.client.options(path, headers=ask | {"Origin": APP})
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "DELETE" in answer.headers["access-control-allow-methods"]
        refused = await front.client.options(path, headers=ask | {"Origin": EVIL})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert not any(name.startswith("access-control") for name in refused.headers)
        assert "Origin" in refused.headers["vary"]


async def test_every_answer_may_be_read_by_the_allowed_page_and_no_other(
    front: "Gateway", owner: "Owner", user: UUID, backend: "Backend"
) -> None:
    """Streams, refusals and what plan-api answered alike; `Vary` keeps caches from mixing them."""
    requests: list[tuple[str, dict[str, str], int]] = [
        (f"/api/streaming/events/{owner.plan_id}", _bearer(user), 200),
        ("/api/plan/quota", _bearer(user), 202),
        ("/api/plan/quota", {}, 401),
        (f"/api/streaming/status/{uuid4()}", _bearer(user), 404),
        ("/api/streaming/generate-plan", {}, 405),
        ("/nothing", {}, 404),
        ("/", {}, 200),
    ]
    for path, headers, status in requests:
        for origin in (APP, EVIL, None):
            more = {} if origin is None else {"Origin": origin}
            async with front.client.stream("GET", path, headers=headers | more) as answer:
                assert answer.status_code == status
                assert answer.headers["vary"] == "Origin"
                allowed = answer.headers.get("access-control-allow-origin")
                assert allowed == (APP if origin == APP else None)
                assert ("access-control-allow-credentials" in answer.headers) == (origin == APP)
                if origin == APP:
                    exposed = answer.headers["access-control-expose-headers"]
                    assert {"Location", "Retry-After", "X-Request-Id"} <= set(exposed.split(", "))


async def test_every_answer_has_the_security_headers(front: "Gateway", owner: "Owner", user: UUID) -> None:
    """Nothing is sniffed, framed or embedded; the page has a policy of its own."""
    for path in (*ROUTES, "/page/app.js", f"/api/streaming/events/{owner.plan_id}"):
        async with front.client.stream("GET", path, headers=_bearer(user)) as answer:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert len(answer.headers.get_list("content-security-policy")) == 1
    page = await front.client.get("/")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "camera=()" in page.headers["permissions-policy"]
    assert page.headers["cross-origin-opener-policy"] == "same-origin"


async def test_a_request_has_an_id(front: "Gateway") -> None:
    """The client's when it is a plain word, else a new one; in the answer, also to a refusal."""
    kept: list[list[str]] = [["abc-1_2.3"], ["x" * 128]]
    strange: list[list[str]] = [[], ["x" * 129], [""], ["a b"], ['"};drop'], ["a", "b"]]
    for given in kept + strange:
        headers = [("X-Request-Id", value) for value in given]
        answer = await front.client.get("/api/plan/quota", headers=headers)
        [answered] = answer.headers.get_list("x-request-id")
        assert answered == given[0] if given in kept else len(answered) == 32


async def test_requests_beyond_the_limit_are_refused_with_when_to_come_again(
    make_gateway: "GatewayFactory", owner: "Owner", user: UUID, backend: "Backend"
) -> None:
    """Per user, whatever they ask for; nothing behind the door hears of it; health, page and preflight do not count."""
    gateway = await make_gateway(**JWT | {"requests_per_minute_per_user": 5})
    path = f"/api/streaming/status/{owner.plan_id}"
    statuses = [(await gateway.client.get(path, headers=_bearer(user))).status_code for _ in range(4)]
    statuses.append((await gateway.client.get("/api/plan/quota", headers=_bearer(user))).status_code)
    assert statuses == [200] * 4 + [202]
    seen = len(backend.seen)
    refused = [
        await gateway.client.get(path, headers=_bearer(user)),
        await gateway.client.get(f"/api/streaming/events/{owner.plan_id}", headers=_bearer(user)),
        await gateway.client.post("/api/plan/inputs", headers=_bearer(user), content=b"x" * 100_000),
        await gateway.client.post("/api/session", headers=_bearer(user) | {"Origin": APP}),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert 10 <= int(answer.headers["retry-after"]) <= 12
        assert "5 requests a minute" in answer.json()["detail"]
    assert len(backend.seen) == seen
    other = backend.accept(another := uuid4())
    assert (await gateway.client.get(f"/api/streaming/status/{other}", headers=_bearer(another))).status_code == 200
    assert [(await gateway.client.get("/livez")).status_code for _ in range(10)] == [200] * 10


async def test_strangers_get_no_work_done(front: "Gateway", backend: "Backend") -> None:
    """Two hundred requests without a good token: 401 each, and nothing is read, asked for or remembered."""
    token = jwt.encode({"sub": str(uuid4())}, SECRET[::-1], "HS256")
    bad = {"Authorization": f"Bearer {token}"}
    for _ in range(2):
        answers = await asyncio.gather(*(front.client.get("/api/plan/quota", headers=bad) for _ in range(100)))
        assert {answer.status_code for answer in answers} == {401}
    # A body that is announced and never comes is not waited for.
    address = urlsplit(front.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST /api/plan/inputs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 99\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(5):
        assert (await reader.readline()).split()[1] == b"401"
    writer.close()
    await writer.wait_closed()
    assert backend.seen == []


@pytest.fixture
async def spawned(backend: "Backend", tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Path]]:
    """A gateway in a process of its own, which logs all that it can; a client of it, and its output."""
    log, port = tmp_path / "log", free_port()
    environment = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "LOG_LEVEL": "debug",
        "SERVICE_TOKEN": TOKEN,
        "DATABASE_URL": "postgresql://nobody:x@127.0.0.1:1/none",
        "NATS_URL": "nats://127.0.0.1:1",
        "PLAN_API_URL": backend.url,
        "GENERATOR_URLS": backend.url,
        **{name.upper(): value for name, value in JWT.items()},
    }
    command = (sys.executable, "-m", "stream_gateway", "serve")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=output, stderr=output)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
            async with asyncio.timeout(20):
                while not await _answers(client):
                    assert process.returncode is None, log.read_text()
                    await asyncio.sleep(0.05)
            yield client, log
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/livez")).is_success
    except httpx.ConnectError:
        return False


@pytest.mark.provokes("5xx", "plan-api is away")
async def test_no_secret_is_answered_or_logged(
    spawned: tuple[httpx.AsyncClient, Path], user: UUID, backend: "Backend"
) -> None:
    """Neither a token that was good nor one that was bad, nor the keys that they are checked with."""
    client, log = spawned
    good = _bearer(user)["Authorization"].removeprefix("Bearer ")
    bad = jwt.encode({"sub": "canary"}, SECRET[::-1], "HS256")
    told: list[httpx.Response] = []
    for token in (good, bad, "canary-canary-canary"):
        for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"__Host-planstream={token}"}):
            paths = ("/api/plan/quota", f"/api/streaming/status/{uuid4()}?token={token}", "/nothing")
            told += [await client.get(path, headers=headers) for path in paths]
    backend.away = True
    told.append(await client.get("/api/plan/quota", headers=_bearer(user) | {"X-Request-Id": "look-for-me"}))
    said = "".join(answer.text + str(answer.headers) for answer in told if answer.status_code != 202)
    logged = log.read_text()
    assert '"look-for-me"' in logged
    for secret in (good, bad, "canary-canary-canary", SECRET, TOKEN):
        assert secret not in said
        assert secret not in logged
