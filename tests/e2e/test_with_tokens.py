"""The whole stack as it is deployed: tokens, two gateways, and callers who mean no good."""

import asyncio
import base64
import contextlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from local_stack import Stack
from stream_gateway.auth import LEEWAY_SECONDS
from stream_gateway.auth.session_cookie import SECURE_NAME
from testkit import OpenStack
from testkit.secrecy import CANARY, JWT_SECRET, require_plain_answer
from tests.e2e.test_ownership import Belongings, cases, tables

pytestmark = pytest.mark.full

PAGE, EVIL = "https://app.example.test", "https://evil.test"
TOKENS = {
    "AUTH_MODE": "jwt",
    "JWT_ISSUER": "issuer",
    "JWT_AUDIENCE": "audience",
    "ALLOWED_ORIGINS": PAGE,
    "MAX_RUNNING_PLANS_PER_USER": "3",
    "REQUESTS_PER_MINUTE_PER_USER": "0",
    "EMULATOR_TOKENS_PER_SECOND": "40",
}
SECONDS = 20
JSON = {"Accept": "application/json"}


def claims(user: UUID, **changes: Any) -> dict[str, Any]:
    """Those of a good token, but for the changes; None leaves a claim out."""
    said = {"sub": str(user), "iss": "issuer", "aud": "audience", "exp": int(time.time()) + 600} | changes
    return {name: value for name, value in said.items() if value is not None}


def bearer(user: UUID, key: str = JWT_SECRET, **changes: Any) -> dict[str, str]:
    """A header with a token."""
    return {"Authorization": f"Bearer {jwt.encode(claims(user, **changes), key, 'HS256')}"}


def cookie(user: UUID, page: str = PAGE) -> dict[str, str]:
    """A good token as the cookie, sent from a page."""
    return {"Cookie": f"{SECURE_NAME}={bearer(user)['Authorization'][7:]}", "Origin": page}


@pytest.fixture(scope="module")
async def guarded(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """Two gateways that ask for tokens, and a slow model."""
    async with open_stack(TOKENS, gateways=2) as stack:
        yield stack


@pytest.fixture
async def doors(guarded: Stack) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client of each gateway; whatever is answered holds no secret and is no 500."""
    look: Any = {"response": [require_plain_answer]}
    clients = [
        httpx.AsyncClient(base_url=url, timeout=SECONDS, event_hooks=look, trust_env=False)
        for url in guarded.addresses.gateways
    ]
    yield clients
    for client in clients:
        await client.aclose()


async def stored(door: httpx.AsyncClient, user: UUID) -> str:
    """Inputs of this user; their preferenceId."""
    body = {"userId": str(user), "goals": "Play the cello in a trio"}
    answer = await door.post("/api/plan/inputs", json=body, headers=bearer(user))
    assert answer.status_code == httpx.codes.CREATED, answer.text
    preference_id: str = answer.json()["preferenceId"]
    return preference_id


async def started(door: httpx.AsyncClient, user: UUID, number: int = 1) -> Any:
    """A batch of so many plans."""
    wanted = [await stored(door, user) for _ in range(number)]
    answer = await door.post("/api/streaming/batches", json={"preferenceIds": wanted}, headers=bearer(user))
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return answer.json()


def hand_made(header: dict[str, Any], user: UUID, key: bytes | None = None, digest: str = "sha256") -> dict[str, str]:
    """A token that no library would make; signed by HMAC when there is a key."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims(user)).encode())}"
    signature = b"" if key is None else hmac.new(key, text.encode(), digest).digest()
    return {"Authorization": f"Bearer {text}.{part(signature)}"}


async def test_forged_and_stale_tokens_open_nothing(doors: list[httpx.AsyncClient]) -> None:
    """Neither a plain route, a stream, a batch nor a WebSocket, at either gateway; each is a plain 401."""
    user, now = uuid4(), int(time.time())
    key = JWT_SECRET.encode()
    bad = [
        {},
        {"X-User-Id": str(user)},
        hand_made({"alg": "none"}, user),
        hand_made({"alg": "None", "typ": "JWT"}, user),
        hand_made({"alg": "HS256", "kid": "../../dev/null"}, user, b""),
        hand_made({"alg": "RS256"}, user, key),
        hand_made({"alg": "HS256", "crit": ["exp"]}, user, key),
        hand_made({"alg": "HS256", "b64": False, "crit": ["b64"]}, user, key),
        hand_made({"alg": "HS512"}, user, key, "sha512"),
        bearer(user, key=f"{CANARY}-another-key-of-at-least-32-bytes"),
        bearer(user, exp=now - LEEWAY_SECONDS - 2),
        bearer(user, nbf=now + LEEWAY_SECONDS + 30),
        bearer(user, exp=None),
        bearer(user, aud="another"),
        bearer(user, iss="another"),
        bearer(user, sub="nobody"),
        bearer(user, sub=None),
        {"Authorization": f"Basic {bearer(user)['Authorization'][7:]}"},
        {"Authorization": f"{bearer(user)['Authorization']}, {bearer(user)['Authorization']}"},
    ]
    paths = ("/api/plan/quota", f"/api/streaming/events/{uuid4()}", f"/api/streaming/batches/{uuid4()}/events")
    for door in doors:
        for headers in bad:
            for path in (*paths, "/api/streaming/ws"):
                upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
                more = upgrade | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} if path.endswith("/ws") else {}
                answer = await door.get(path, params={"userId": str(user)}, headers=headers | more)
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), (path, headers)
        late = await door.get("/api/plan/quota", headers=bearer(user, exp=now - 1))
        assert late.status_code == httpx.codes.OK, "within the leeway"


async def test_the_matrix_of_two_users_with_tokens(doors: list[httpx.AsyncClient]) -> None:
    """Every route that carries an id, by bearer and by cookie, whoever the stranger says to be beside the token."""
    owner, stranger = uuid4(), uuid4()
    batch = await started(doors[0], owner)
    things = Belongings(batch["plans"][0]["planId"], batch["plans"][0]["preferenceId"], batch["batchId"])
    pretence = {"X-User-Id": str(owner), "X-Forwarded-User": str(owner)}
    for door in doors:
        for case in cases(tables()):
            for proof in (bearer(stranger), cookie(stranger)):
                request = case.request(things) | {"params": {"userId": str(owner)}}
                answer = await door.request(**request, headers=proof | pretence)
                assert answer.status_code == 404, (case, answer.status_code)
            evil = await door.request(**case.request(things), headers=cookie(owner, EVIL))
            assert evil.status_code == 403, (case, evil.status_code)
    status = await doors[1].get(f"/api/streaming/status/{things.plan}", headers=bearer(owner))
    assert status.json()["status"] in ("generating", "completed")


async def test_running_plans_are_counted_over_both_gateways(doors: list[httpx.AsyncClient]) -> None:
    """Twelve starts at once, half at each gateway: three run, the rest is told when to come again."""
    user = uuid4()
    preference_id = await stored(doors[0], user)
    body = {"preferenceId": preference_id, "userId": str(user)}
    answers = await asyncio.gather(
        *(
            doors[number % 2].post("/api/streaming/generate-plan", json=body, headers=bearer(user) | JSON)
            for number in range(12)
        )
    )
    accepted = [answer for answer in answers if answer.status_code == httpx.codes.ACCEPTED]
    refused = [answer for answer in answers if answer not in accepted]
    assert len(accepted) == 3, [answer.text for answer in answers]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_running")
        assert int(answer.headers["retry-after"]) >= 1


async def test_every_kind_of_stream_ends_with_its_token(guarded: Stack, doors: list[httpx.AsyncClient]) -> None:
    """Events, a batch and a WebSocket, by bearer and by cookie; the plan itself goes on."""
    user = uuid4()
    batch = await started(doors[0], user)
    plan_id = batch["plans"][0]["planId"]
    ends = int(time.time()) - LEEWAY_SECONDS + 4
    proof = bearer(user, exp=ends)
    by_cookie = {"Cookie": f"{SECURE_NAME}={proof['Authorization'][7:]}", "Origin": PAGE}

    async def followed(door: httpx.AsyncClient, path: str, headers: dict[str, str]) -> str:
        async with door.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == httpx.codes.OK
            return (await answer.aread()).decode()

    async def over_socket(url: str, headers: dict[str, str]) -> int | None:
        address = f"ws{url.removeprefix('http')}/api/streaming/ws"
        async with connect(address, additional_headers=headers, proxy=None) as socket:
            await socket.send(json.dumps({"type": "watch", "planId": plan_id}))
            # Read on: what a client does not take, also holds up the close.
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await socket.recv()
            return socket.close_code

    events, together = f"/api/streaming/events/{plan_id}", f"/api/streaming/batches/{batch['batchId']}/events"
    async with asyncio.timeout(SECONDS):
        texts = await asyncio.gather(
            *(followed(door, path, how) for door in doors for path in (events, together) for how in (proof, by_cookie))
        )
        assert time.time() >= ends + LEEWAY_SECONDS
        soon = int(time.time()) - LEEWAY_SECONDS + 3
        assert await over_socket(guarded.gateway, bearer(user, exp=soon)) == 4401
    for text in texts:
        assert "event: connected" in text
        assert "event: complete" not in text
    status = await doors[1].get(f"/api/streaming/status/{plan_id}", headers=bearer(user))
    assert status.json()["status"] == "generating"


async def test_the_sizes_of_a_batch_with_tokens(doors: list[httpx.AsyncClient]) -> None:
    """0, 21, the same twice and what is no list are refused as a whole; 20 are answered one by one, 1 starts."""
    user, url = uuid4(), "/api/streaming/batches"
    own = await stored(doors[0], user)
    anothers = [await stored(doors[0], uuid4()) for _ in range(19)]
    sizes: list[Any] = [[], [str(uuid4()) for _ in range(21)], [own, own], own, [None], [{}], [own.upper(), own], None]
    for wrong in sizes:
        answer = await doors[1].post(url, json={"preferenceIds": wrong}, headers=bearer(user))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), (wrong, answer.text)
    answer = await doors[1].post(url, json={"preferenceIds": [*anothers, own]}, headers=bearer(user))
    *refused, admitted = answer.json()["plans"]
    assert {each["error"]["code"] for each in refused} == {"not_found"}
    assert "planId" in admitted
    stopped = await doors[0].delete(f"/api/streaming/cancel/{admitted['planId']}", headers=bearer(user))
    assert stopped.json()["status"] in ("partial", "failed")


async def test_a_preflight_of_every_route(doors: list[httpx.AsyncClient]) -> None:
    """Needs no token; the known page is answered, an unknown one and `null` are not."""
    paths = {case.path for case in cases(tables())} | {"/api/session", "/api/streaming/batches", "/nowhere"}
    for path in paths:
        for origin, status in ((PAGE, 204), (EVIL, 403), ("null", 403), (f"{PAGE}.evil.test", 403)):
            asked = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
            answer = await doors[0].options(path, headers=asked)
            assert answer.status_code == status, (path, origin)
            assert answer.headers.get("access-control-allow-origin") == (PAGE if status == 204 else None)
