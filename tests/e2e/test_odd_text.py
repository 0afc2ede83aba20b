"""Text that could be taken for something else, everywhere a client can put text: stored to the letter, or refused."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from local_stack import Stack
from testkit import User
from testkit.raw_http import RawAnswer, ask, request
from testkit.secrecy import told

ODD = {
    "CR LF": "a\r\nX-User-Id: b",
    "LF LF": "a\n\nevent: complete\ndata: {}\n\n",
    "CR": "a\rb",
    "NUL": "a\0b",
    "line separators": "a\u2028b\u2029c\x85d\x0b\x0ce",
    "four bytes": "\U0001f4a9\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "right to left": "\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "other digits": "\u00b2\u0661",
    "combining": "Z\u0351\u036b\u0343\u036a" * 50,
    "byte order mark": "\ufeffa",
    "not a character": "\uffff\ufffe\U0010ffff",
    "markup": "</script><img src=x onerror=alert(1)>",
    "SQL": "'; DROP TABLE plan_api.generations; --",
    "a template": "${jndi:ldap://127.0.0.1/a}{{7*7}}%s%n",
    "subject": "plan.events.> * \t",
    "very long": "x" * 60_000,
}
# In JSON alone: UTF-8 has no bytes for them.
SURROGATES = {"half a pair": rb"\ud800", "pair the wrong way round": rb"\udc00\ud800", "half in a key": rb"x\udfff"}


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[User]:
    """Somebody of the test's own."""
    async with User.at(stack.gateway) as somebody:
        yield somebody


def require_refusal_or(answer: httpx.Response, *statuses: int) -> None:
    """One of these, or a 4xx that is a problem with a sentence."""
    if answer.status_code not in statuses:
        assert 400 <= answer.status_code < 500, answer.text
        assert len(answer.json()["detail"]) > 10
        assert len(answer.content) < 4000, "an answer does not repeat what it was sent"


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
async def test_in_the_inputs(user: User, text: str) -> None:
    """What is accepted comes back to the letter, and goes through a whole plan; the rest is refused."""
    stored = 0
    for member in ({"goals": text}, {"goals": ["run", text[:3000]]}, {"focusAreas": [text[:150]]}):
        answer = await user.http.post("/api/plan/inputs", json={"userId": str(user.id), "goals": "x"} | member)
        require_refusal_or(answer, 201)
        if answer.status_code == httpx.codes.CREATED:
            back = await user.get(f"/api/plan/inputs/{answer.json()['preferenceId']}")
            assert {name: back[name] for name in member} == member
            stored += 1
    assert stored or "\0" in text
    for body in ({"goals": "x", text: 1}, {"goals": "x", "ambition": text}, {"goals": "x", "startDate": text}):
        require_refusal_or(await user.http.post("/api/plan/inputs", json={"userId": str(user.id)} | body))


@pytest.mark.parametrize("escape", SURROGATES.values(), ids=SURROGATES)
async def test_half_a_character(user: User, escape: bytes) -> None:
    """JSON can say what no text holds."""
    head = b'{"userId": "%b", ' % str(user.id).encode()
    for rest in (b'"goals": "%b"}', b'"goals": "x", "%b": 1}', b'"goals": "x", "ambition": "%b"}'):
        content = head + rest % escape
        headers = {"Content-Type": "application/json"}
        answer = await user.http.post("/api/plan/inputs", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_a_plan_about_odd_text_is_streamed_whole(user: User) -> None:
    """What looks like the end of an event, or like another one, stays in the data of its own."""
    goals = [text[:3000] for text in ODD.values() if "\0" not in text]
    plan_id = await user.start(goals=goals, focusAreas=[text[:150] for text in goals])
    viewer = user.viewer(plan_id)
    await viewer.watch()
    assert viewer.end is not None
    assert viewer.end.name == "complete"
    assert viewer.end.data["plan"] == (await user.plan(plan_id))["plan"]


PLACES = (
    "Last-Event-ID",
    "Idempotency-Key",
    "X-User-Id",
    "X-Request-Id",
    "Cookie",
    "Accept",
    "Authorization",
    "Origin",
)


@pytest.mark.parametrize("place", PLACES)
async def test_in_a_header(stack: Stack, user: User, place: str) -> None:
    """As its UTF-8 bytes where a header can carry them; no line of ours is made of it."""
    preference_id = await user.inputs()
    for text in ODD.values():
        value = text.encode().decode("latin-1")
        lines = [f"{place}: {value}"] if place == "X-User-Id" else [f"X-User-Id: {user.id}", f"{place}: {value}"]
        body = b'{"preferenceId": "%b"}' % preference_id.encode()
        start = request("POST", "/api/plan/generate", *lines, "Content-Type: text/plain", body=body)
        watch = request("GET", f"/api/streaming/events/{uuid4()}", *lines)
        for answer in await asyncio.gather(ask(stack.gateway, start), ask(stack.gateway, watch)):
            require_plain(answer)


@pytest.mark.parametrize("name", ["userId", "lastEventId", "mode", "format", "cursor", "limit", "other"])
async def test_in_the_query(stack: Stack, user: User, name: str) -> None:
    """Plain, percent-encoded, and encoded twice; also as the name."""
    for text in ODD.values():
        once = quote(text[:2000], safe="")
        for query in (f"{name}={once}", f"{name}={quote(once)}", f"{once}={name}", f"{name}={once}&{name}=1.1", once):
            for path in ("/api/plan/plans", f"/api/streaming/events/{uuid4()}"):
                require_plain(await ask(stack.gateway, request("GET", f"{path}?{query}", f"X-User-Id: {user.id}")))


@pytest.mark.parametrize(
    "route",
    ["/api/streaming/events/{}", "/api/streaming/status/{}", "/api/plan/plans/{}", "/api/plan/inputs/{}", "/{}"],
)
async def test_in_the_path(stack: Stack, user: User, route: str) -> None:
    """Percent-encoded once and twice, whatever it decodes to: there is nothing by that name."""
    for text in (*ODD.values(), "..", "%2e%2e", "../../internal/generations", str(user.id).upper() + "\r\n"):
        once = quote(text[:2000], safe="")
        for path in (once, quote(once, safe="")):
            answer = await ask(stack.gateway, request("GET", route.format(path), f"X-User-Id: {user.id}"))
            require_plain(answer)
            assert answer.status in (400, 404), (route, text[:50])


def require_plain(answer: RawAnswer) -> None:
    """One answer, in our words."""
    assert 200 <= answer.status < 500, answer
    assert "x-user-id" not in answer.headers
    assert not told(answer.body.decode("utf-8", "replace"), ())
    if answer.status >= 400:
        assert answer.problem["detail"]
    assert len(answer.body) < 4000
