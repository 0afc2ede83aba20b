"""Who is let in over HTTP and WebSocket, by what they show and the page that they come from."""

from typing import Any
from uuid import UUID

import pytest
from starlette.requests import HTTPConnection

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from stream_gateway.auth import DevAuthenticator, FrontDoor, Identity, JwtAuthenticator
from stream_gateway.auth.session_cookie import SECURE_NAME, SessionCookie
from stream_gateway.auth.tokens import SharedSecret
from stream_gateway.rate_limit import RateLimit

USER = UUID("7d0e8f4c-52a4-4f3e-9a70-3c1b8f1f1a01")
APP, EVIL = {"origin": "https://app.test"}, {"origin": "https://evil.test"}
COOKIE = {"cookie": f"{SECURE_NAME}=good"}
BEARER = {"authorization": "Bearer good"}
FORBIDDEN, UNAUTHORIZED = ErrorCode.FORBIDDEN, ErrorCode.UNAUTHORIZED


class Tokens(JwtAuthenticator):
    """Knows one token."""

    async def verify(self, shown: str) -> Identity:
        """`good` is the user."""
        if shown != "good":
            raise ApiError(UNAUTHORIZED, "bad")
        return Identity(USER)


def _door(way: Any = None, per_minute: int = 0) -> FrontDoor:
    way = way or Tokens(SharedSecret("x" * 32), "i", "a")
    return FrontDoor(way, {APP["origin"]}, SessionCookie(loopback=True), RateLimit(per_minute), lambda: 0.0)


def _connection(kind: str, headers: dict[str, str], method: str = "GET") -> HTTPConnection:
    raw = [(name.encode(), value.encode()) for name, value in ({"host": "127.0.0.1:8080"} | headers).items()]
    scope = {"type": kind, "headers": raw, "query_string": b"token=good&userId=x", "path": "/"}
    return HTTPConnection(scope | ({"method": method} if kind == "http" else {}))


async def _outcome(door: FrontDoor, connection: HTTPConnection) -> ErrorCode | UUID:
    try:
        return (await door.enter(connection)).user_id
    except ApiError as error:
        return error.code


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (BEARER, USER),
        (BEARER | APP, USER),
        (BEARER | EVIL, FORBIDDEN),
        (COOKIE | APP, USER),
        (COOKIE | EVIL, FORBIDDEN),
        (COOKIE | {"origin": "null"}, FORBIDDEN),
        (COOKIE, FORBIDDEN),
        (COOKIE | {"sec-fetch-site": "same-origin"}, USER),
        (COOKIE | {"origin": "http://127.0.0.1:8080"}, USER),
        (COOKIE | {"origin": "http://127.0.0.1:3000"}, FORBIDDEN),
        (APP, UNAUTHORIZED),
        ({}, UNAUTHORIZED),
    ],
)
async def test_a_websocket_handshake(headers: dict[str, str], expected: ErrorCode | UUID) -> None:
    """No foreign page, whatever it shows; with the cookie none that does not say what it is; no token in the query."""
    assert await _outcome(_door(), _connection("websocket", headers)) == expected


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_in_development_a_foreign_page_has_no_word(kind: str) -> None:
    """Neither with a header nor by the cookie; our own page and what is no browser have."""
    door = _door(DevAuthenticator())
    word = {"x-user-id": str(USER)}
    for headers, expected in (
        (word, USER),
        (word | APP, USER),
        (word | {"origin": "http://127.0.0.1:8080"}, USER),
        (word | EVIL, FORBIDDEN),
        (word | {"sec-fetch-site": "cross-site"}, FORBIDDEN),
        (word | {"host": "evil.test"}, UNAUTHORIZED),
        (word | {"host": "192.0.2.1:8080"}, UNAUTHORIZED),
        (word | {"host": "[::1]:8080"}, USER),
        ({"cookie": f"{SECURE_NAME}={USER}", "host": "evil.test"}, UNAUTHORIZED),
    ):
        assert await _outcome(door, _connection(kind, headers)) == expected, headers


async def test_only_who_is_known_is_counted() -> None:
    """A stranger, or a foreign page with the user's cookie, spends nothing of the user's."""
    door = _door(per_minute=2)
    for headers in ({}, {"authorization": "Bearer bad"}, COOKIE | EVIL) * 5:
        assert await _outcome(door, _connection("http", headers)) in (UNAUTHORIZED, FORBIDDEN)
    outcomes = [await _outcome(door, _connection("http", BEARER)) for _ in range(3)]
    assert outcomes == [USER, USER, ErrorCode.RATE_LIMITED]
    with pytest.raises(ApiError) as refused:
        door.count(Identity(USER))
    assert refused.value.retry_after == 30
