"""A request says who the user is once, and plan-api hears it from the gateway alone."""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import jwt
import orjson
import pytest

from testkit.raw_http import ask, request
from testkit.secrecy import JWT_SECRET, SERVICE_TOKEN

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory

SECRET = JWT_SECRET
JWT = {"auth_mode": "jwt", "jwt_secret": SECRET, "jwt_issuer": "i", "jwt_audience": "a"}
VICTIM = UUID("7d0e8f4c-52a4-4f3e-9a70-3c1b8f1f1a01")
# Lines that would make plan-api, or what stands in between, believe in another user, path, method or sender.
TRICKS = {
    "in its own name": [f"X-User-Id: {VICTIM}"],
    "twice": [f"X-User-Id: {VICTIM}", f"X-User-Id: {VICTIM}"],
    "in other letters": [f"x-uSER-iD: {VICTIM}", f"X-USER-ID: {VICTIM}"],
    "with underscores": [f"X_User_Id: {VICTIM}", f"X-User_Id: {VICTIM}"],
    "as a hop's own": [f"X-User-Id: {VICTIM}", "Connection: X-User-Id"],
    "with our own as a hop's": ["Connection: Authorization, X-User-Id, Idempotency-Key"],
    "as other servers name it": [f"X-Forwarded-User: {VICTIM}", f"X-Remote-User: {VICTIM}", f"Remote-User: {VICTIM}"],
    "after a comma": [f"X-User-Id: {uuid4()}, {VICTIM}"],
    "another path": ["X-Original-URL: /internal/generations", "X-Rewrite-URL: /service/generate"],
    "another method": ["X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE"],
    "another sender": ["Forwarded: for=127.0.0.1;host=plan-api", "X-Forwarded-For: 127.0.0.1", "Via: 1.1 gateway"],
}
SENT_ON = {"authorization", "x-user-id", "accept", "content-type", "idempotency-key"}
OF_THE_CLIENT = {"host", "accept-encoding", "connection", "user-agent", "content-length"}


def bearer(user: UUID) -> str:
    """A good token, as a header's line."""
    claims = {"sub": str(user), "iss": "i", "aud": "a", "exp": 4_000_000_000}
    return f"Authorization: Bearer {jwt.encode(claims, SECRET, 'HS256')}"


@pytest.mark.parametrize("lines", TRICKS.values(), ids=TRICKS)
async def test_plan_api_hears_of_the_user_from_the_gateway_alone(
    make_gateway: "GatewayFactory", user: UUID, backend: "Backend", lines: list[str]
) -> None:
    """Whatever a client calls itself, once or more often, plan-api hears of the token's subject, once."""
    gateway = await make_gateway(**JWT)
    query = f"?userId={VICTIM}&limit=2&userId={VICTIM}&%75serId={VICTIM}"
    answer = await ask(gateway.url, request("GET", f"/api/plan/quota{query}", bearer(user), *lines))
    told = orjson.loads(answer.body)
    assert (told["path"], told["query"]) == ("/api/plan/quota", "limit=2")
    assert told["headers"]["x-user-id"] == str(user)
    assert told["headers"]["authorization"] == f"Bearer {SERVICE_TOKEN}"
    assert told["headers"].keys() <= SENT_ON | OF_THE_CLIENT
    assert str(VICTIM).encode() not in answer.body
    assert backend.seen == [("GET", "/api/plan/quota")]


async def test_two_tokens_are_none(make_gateway: "GatewayFactory", user: UUID, backend: "Backend") -> None:
    """Who may choose, may choose the wrong one."""
    gateway = await make_gateway(**JWT)
    answer = await ask(gateway.url, request("GET", "/api/plan/quota", bearer(user), bearer(VICTIM)))
    assert answer.problem["code"] == "unauthorized"
    assert backend.seen == []


async def test_in_development_a_user_who_is_named_twice_is_one_user(
    gateway: "Gateway", user: UUID, backend: "Backend"
) -> None:
    """The header counts before the query and the query before the body; plan-api hears of one."""
    both = [f"X-User-Id: {user}", f"X-User-Id: {VICTIM}"]
    body = orjson.dumps({"userId": str(VICTIM)})
    wanted = {
        request("POST", f"/api/plan/inputs?userId={VICTIM}", *both, body=body): user,
        request("POST", f"/api/plan/inputs?userId={VICTIM}&userId={user}", body=body): user,
        request("POST", f"/api/plan/inputs?x;userId={VICTIM}", f"X_User_Id: {VICTIM}", both[0], body=body): user,
    }
    for sent, expected in wanted.items():
        told = orjson.loads((await ask(gateway.url, sent)).body)
        assert told["headers"]["x-user-id"] == str(expected)


async def test_a_trailer_does_not_change_who_asks(gateway: "Gateway", user: UUID, backend: "Backend") -> None:
    """In development the body is read first, and what follows it is no header."""
    head = [f"X-User-Id: {user}", "Transfer-Encoding: chunked"]
    trailers = f"0\r\nX-User-Id: {VICTIM}\r\nIdempotency-Key: theirs\r\n\r\n"
    for lines, code in ((head, 202), (head[1:], 401)):
        answer = await ask(gateway.url, request("POST", "/api/plan/inputs", *lines) + trailers.encode())
        assert answer.status == code
        assert b"theirs" not in answer.body
        assert str(VICTIM).encode() not in answer.body


async def test_a_second_request_in_a_body_stays_a_body(gateway: "Gateway", user: UUID, backend: "Backend") -> None:
    """Its length is what was said once; plan-api gets the same bytes as a body."""
    inner = request("POST", "/internal/generations", f"X-User-Id: {VICTIM}")
    answer = await ask(gateway.url, request("POST", "/api/plan/inputs", f"X-User-Id: {user}", body=inner))
    assert orjson.loads(answer.body)["body"].encode() == inner
    assert backend.seen == [("POST", "/api/plan/inputs")]


async def test_slow_clients_hold_nobody_up(gateway: "Gateway", user: UUID, backend: "Backend") -> None:
    """Three hundred heads and bodies that do not go on, and an answer comes as ever."""
    connections = []
    try:
        for number in range(300):
            reader, writer = await asyncio.open_connection(*gateway.url.removeprefix("http://").split(":"))
            connections.append(writer)
            whole = request("POST", "/api/plan/inputs", f"X-User-Id: {user}", "Content-Length: 100")
            writer.write(whole if number % 2 else whole[:-2])
            del reader
        began = asyncio.get_running_loop().time()
        answer = await gateway.client.get("/api/plan/quota", headers={"X-User-Id": str(user)})
        assert answer.status_code == 202
        assert asyncio.get_running_loop().time() - began < 5
    finally:
        for writer in connections:
            writer.close()
