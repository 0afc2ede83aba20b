"""Small decisions: who is calling, which path goes on, when to ask, what a settings file may say."""

from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from stream_gateway.auth import DevAuthenticator, Identity
from stream_gateway.endpoints import wants_stream
from stream_gateway.proxy import target_path, target_query
from stream_gateway.settings import Settings
from stream_gateway.watchdog import Patience

USER = UUID("7d0e8f4c-52a4-4f3e-9a70-3c1b8f1f1a01")
OTHER = UUID("7d0e8f4c-52a4-4f3e-9a70-3c1b8f1f1a02")


async def _identify(headers: dict[str, str], query: dict[str, str], body: bytes) -> Identity:
    way = DevAuthenticator()
    shown = way.shown(headers, query, body)
    if shown is None:
        raise ApiError(ErrorCode.UNAUTHORIZED, way.advice)
    return await way.verify(shown)


@pytest.mark.parametrize(
    ("headers", "query", "body", "expected"),
    [
        ({"x-user-id": str(USER)}, {"userId": str(OTHER)}, b"", USER),
        ({}, {"userId": str(USER)}, b'{"userId":"%b"}' % str(OTHER).encode(), USER),
        ({}, {}, b'{"userId":"%b"}' % str(USER).encode(), USER),
        ({"x-user-id": str(USER).upper()}, {}, b"", USER),
        ({}, {}, b"", None),
        ({}, {}, b"[1]", None),
        ({}, {}, b"{", None),
        ({}, {}, b'{"userId":5}', None),
        ({"x-user-id": "me"}, {"userId": str(USER)}, b"", None),
        ({"x-user-id": USER.hex}, {}, b"", None),
    ],
)
async def test_in_development_the_first_user_that_is_given_counts(
    headers: dict[str, str], query: dict[str, str], body: bytes, expected: UUID | None
) -> None:
    """Header, query, body, in this order; what is no UUID is refused with a sentence that helps."""
    if expected is not None:
        assert (await _identify(headers, query, body)).user_id == expected
        return
    with pytest.raises(ApiError) as refused:
        await _identify(headers, query, body)
    assert refused.value.code is ErrorCode.UNAUTHORIZED
    assert "X-User-Id" in refused.value.detail


@pytest.mark.parametrize("path", ["/api/plan/inputs", f"/api/plan/plans/{USER}", "/api/plan/a_b"])
def test_plain_paths_go_on(path: str) -> None:
    """As they are."""
    assert target_path(path.encode()) == path


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api/plan",
            "/api/plan/",
            "/api/plan//x",
            "/api/plan/x/",
            "/api/plan/../x",
            "/api/plan/.",
            "/api/plan/a/..",
            "",
        ),
        *("/api/plan/%2e%2e/x", "/api/plan/x%2fy", "/api/plan/x\\y", "/api/plan/x;y", "/api/plan/x y", "/api/plan/x\n"),
        *(
            "/api/plans/x",
            "/internal/x",
            "/service/generate",
            "/API/plan/x",
            "//api/plan/x",
            "x/api/plan/y",
            "/api/plan/ü",
        ),
    ],
)
def test_no_other_path_goes_on(path: str) -> None:
    """Dot segments, encodings, doubled slashes and everything outside `/api/plan/` have no target."""
    assert target_path(path.encode()) is None


def test_the_user_is_taken_out_of_the_query() -> None:
    """The rest stays, repeated and empty fields too."""
    assert target_query(b"userId=1&a=1&a=2&b=&userId=2&c=x%20y") == [("a", "1"), ("a", "2"), ("b", ""), ("c", "x y")]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", True),
        ("*/*", True),
        ("text/event-stream", True),
        ("application/json", False),
        ("application/json;q=0.9, */*", False),
        ("application/json, text/event-stream;q=0.5", True),
    ],
)
def test_json_is_answered_when_it_is_asked_for_and_a_stream_is_not(accept: str, expected: bool) -> None:
    """The guide's client sends no Accept of its own and gets the stream."""
    assert wants_stream(accept) is expected


def test_the_watchdog_asks_once_and_then_after_silence_less_and_less_often() -> None:
    """Rules 5 and 6: one second after the attach, three after the last event, doubling to fifteen; news resets it."""
    patience, advanced, asked = Patience(0.0), 0.0, []
    for tenth in range(1, 800):
        now = tenth / 10
        if now in {0.5, 0.9, 60.0}:
            advanced = now
        if patience.is_due(now, advanced):
            patience.asked(now)
            asked.append(now)
    assert asked == [1.0, 4.0, 10.0, 22.0, 37.0, 52.0, 63.0, 66.0, 72.0]


def _settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {"database_url": "postgresql://x", "service_token": "x" * 16, "host": "127.0.0.1"}
    return Settings(**(values | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"auth_mode": "dev", "host": "0.0.0.0"},
        {"auth_mode": "dev", "host": "10.0.0.1"},
        {"auth_mode": "dev", "host": "localhost.evil.test"},
        {},
        {"jwt_secret": "short", "jwt_issuer": "i", "jwt_audience": "a"},
        {"jwt_secret": "x" * 32, "jwt_issuer": "i"},
        {"jwt_secret": "x" * 32, "jwt_audience": "a"},
    ],
)
def test_unsafe_settings_are_refused(changes: dict[str, Any]) -> None:
    """Development beyond loopback, and jwt without everything that it checks."""
    with pytest.raises(ValidationError):
        _settings(**changes)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_development_listens_on_loopback(host: str) -> None:
    """Any of its names."""
    assert _settings(auth_mode="dev", host=host).host == host
