"""The cookie of `/api/session`, and from which pages it counts."""

import time
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import jwt
import pytest

from stream_gateway.auth import LEEWAY_SECONDS
from stream_gateway.auth.session_cookie import PLAIN_NAME, SECURE_NAME
from testkit.secrecy import JWT_SECRET

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Gateway, GatewayFactory, Owner

SECRET = JWT_SECRET
APP, EVIL = "https://app.example.test", "https://evil.test"
JWT = {
    "auth_mode": "jwt",
    "jwt_secret": SECRET,
    "jwt_issuer": "https://issuer.test",
    "jwt_audience": "planstream",
    "allowed_origins": APP,
}
PATH = "/api/session"


def _token(user: UUID, **changes: Any) -> str:
    claims = {"sub": str(user), "iss": "https://issuer.test", "aud": "planstream", "exp": 4_000_000_000} | changes
    return jwt.encode(claims, SECRET, "HS256")


def _bearer(user: UUID, **changes: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {_token(user, **changes)}"}


@pytest.fixture
async def front(make_gateway: "GatewayFactory") -> "Gateway":
    """A gateway that asks for tokens, with one page of another origin."""
    return await make_gateway(**JWT)


async def test_a_token_is_traded_for_a_cookie_that_opens_a_stream(front: "Gateway", owner: "Owner", user: UUID) -> None:
    """HttpOnly, of this host and site alone, as old as the token; and the stream ends with it."""
    ends = int(time.time()) - LEEWAY_SECONDS + 3
    answer = await front.client.post(PATH, headers=_bearer(user, exp=ends) | {"Origin": APP})
    assert answer.status_code == 200
    assert answer.json()["userId"] == str(user)
    assert answer.headers["cache-control"] == "no-store"
    header = answer.headers["set-cookie"]
    cookie = SimpleCookie(header)[SECURE_NAME]
    assert (cookie["path"], cookie["httponly"], cookie["secure"], cookie["samesite"]) == ("/", True, True, "Strict")
    assert 1 <= int(cookie["max-age"]) <= 3
    assert "domain" not in header.lower()
    headers = {"Cookie": f"a=1; {SECURE_NAME}={cookie.value}", "Origin": APP}
    async with front.open("GET", f"/api/streaming/events/{owner.plan_id}", headers=headers) as stream:
        await stream.event("snapshot")
        assert await stream.end() == "snapshot"
    refused = await front.client.get("/api/plan/quota", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")


async def test_a_page_of_this_machine_gets_a_cookie_that_its_browser_keeps(front: "Gateway", user: UUID) -> None:
    """Without `Secure`, because Safari drops that over plain HTTP; any other page gets the strict one."""
    port = front.url.rpartition(":")[2]
    for origin, name in ((f"http://127.0.0.1:{port}", PLAIN_NAME), (APP, SECURE_NAME)):
        answer = await front.client.post(PATH, headers=_bearer(user) | {"Origin": origin})
        assert answer.headers["set-cookie"].partition("=")[0] == name
        front.client.cookies.clear()
        again = await front.client.get("/api/plan/quota", headers={"Cookie": f"{name}={_token(user)}"})
        assert again.status_code == 202


async def test_the_cookie_is_taken_away_also_when_its_token_has_expired(front: "Gateway") -> None:
    """Both names, and no proof is needed to be rid of it."""
    answer = await front.client.delete(PATH, headers={"Origin": APP, "Cookie": f"{SECURE_NAME}=stale"})
    assert answer.status_code == 204
    cleared = answer.headers.get_list("set-cookie")
    assert [header.partition("=")[0] for header in cleared] == [SECURE_NAME, PLAIN_NAME]
    assert all("Max-Age=0" in header for header in cleared)


STRANGE_PAGES: list[dict[str, str]] = [
    {},
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": APP + ".evil.test"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
]


async def test_the_session_is_for_known_pages_alone(front: "Gateway", user: UUID) -> None:
    """Even with a good token: a foreign page must not sign its visitor in or out."""
    for method in ("POST", "DELETE"):
        for page in STRANGE_PAGES:
            answer = await front.client.request(method, PATH, headers=_bearer(user) | page)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), page
            assert "set-cookie" not in answer.headers


async def test_only_a_good_token_is_traded(front: "Gateway", user: UUID) -> None:
    """Not a cookie, not one that is bad, and none that browsers would silently drop."""
    for headers in ({}, {"Cookie": f"{SECURE_NAME}={_token(user)}"}, _bearer(user, aud="x"), _bearer(user, exp=1)):
        answer = await front.client.post(PATH, headers={"Origin": APP} | headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    answer = await front.client.post(PATH, headers={"Origin": APP} | _bearer(user, more="x" * 4000))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


# By page: what reading answers, and what writing does.
PAGES: list[tuple[dict[str, str], int, int]] = [
    ({}, 200, 403),
    ({"Sec-Fetch-Site": "none"}, 200, 403),
    ({"Origin": EVIL}, 403, 403),
    ({"Origin": "null"}, 403, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 200, 200),
    ({"Origin": APP, "Sec-Fetch-Site": "same-site"}, 200, 200),
]


async def test_with_the_cookie_the_page_counts(front: "Gateway", owner: "Owner", user: UUID) -> None:
    """A browser sends it along with whatever a page asks for; a bearer token was put there by the page itself."""
    status = f"/api/streaming/status/{owner.plan_id}"
    for page, read, written in PAGES:
        cookie = page | {"Cookie": f"{SECURE_NAME}={_token(user)}"}
        assert (await front.client.get(status, headers=cookie)).status_code == read, page
        assert (await front.client.get(status, headers=page | _bearer(user))).status_code == 200
        commands = list(owner.commands)
        cancelled = await front.client.delete(f"/api/streaming/cancel/{owner.plan_id}", headers=cookie)
        assert cancelled.status_code == written, page
        if written == 403:
            assert cancelled.json()["code"] == "forbidden"
            assert (await front.client.post("/api/plan/inputs", headers=cookie)).json()["code"] == "forbidden"
            assert owner.commands == commands


async def test_a_header_comes_before_the_cookie(front: "Gateway", owner: "Owner", user: UUID) -> None:
    """A bad one is not made good by it, two are nobody's, and a proxy's own Basic header is no claim at all."""
    path = f"/api/streaming/status/{owner.plan_id}"
    cookie = {"Cookie": f"{SECURE_NAME}={_token(user)}"}
    assert (await front.client.get(path, headers=cookie | _bearer(uuid4()))).status_code == 404
    assert (await front.client.get(path, headers=cookie | _bearer(user, exp=1))).status_code == 401
    assert (await front.client.get(path, headers=cookie | {"Authorization": "Basic eDp5"})).status_code == 200
    twice = [("Authorization", f"Bearer {_token(user)}"), ("Authorization", f"Bearer {_token(uuid4())}")]
    assert (await front.client.get(path, headers=twice)).status_code == 401


async def test_no_token_counts_in_a_query(front: "Gateway", owner: "Owner", user: UUID) -> None:
    """Under no name: it would end up in logs and histories."""
    for name in ("token", "access_token", "authorization", SECURE_NAME, "userId"):
        value = str(user) if name == "userId" else _token(user)
        answer = await front.client.get(f"/api/streaming/events/{owner.plan_id}", params={name: value})
        assert answer.status_code == 401


async def test_in_development_the_session_remembers_who_one_said_to_be(gateway: "Gateway", user: UUID) -> None:
    """So that a page written for tokens works unchanged; and a foreign page cannot speak for anybody."""
    answer = await gateway.client.post(PATH, headers={"X-User-Id": str(user), "Origin": gateway.url})
    assert answer.json() == {"userId": str(user), "expiresAt": None}
    quota = await gateway.client.get("/api/plan/quota")
    assert quota.json()["headers"]["x-user-id"] == str(user)
    foreign = await gateway.client.get("/api/plan/quota", headers={"X-User-Id": str(user), "Origin": EVIL})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden")
    rebound = await gateway.client.get("/api/plan/quota", headers={"X-User-Id": str(user), "Host": "evil.test:8080"})
    assert (rebound.status_code, rebound.json()["code"]) == (401, "unauthorized")
