"""WebSockets on real connections: the same events as over SSE, many plans at once, cancelling, and every limit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import jwt
import orjson
import pytest
from websockets.exceptions import InvalidStatus

from stream_gateway import socket_messages
from stream_gateway.auth import LEEWAY_SECONDS
from stream_gateway.auth.session_cookie import SECURE_NAME
from stream_gateway.socket import MAX_PLANS, MAX_REFUSED
from stream_gateway.socket_protocol import MAX_MESSAGE_BYTES
from testkit.gateway.socket import Socket, socket
from testkit.secrecy import JWT_SECRET

if TYPE_CHECKING:
    from nats.aio.client import Client

    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory, Owner

Until = Callable[..., Awaitable[None]]
APP, EVIL = "https://app.example.test", "https://evil.test"
SECRET = JWT_SECRET
JWT = {"auth_mode": "jwt", "jwt_secret": SECRET, "jwt_issuer": "i", "jwt_audience": "a", "allowed_origins": APP}


def _token(user: UUID, exp: int = 4_000_000_000) -> str:
    return jwt.encode({"sub": str(user), "iss": "i", "aud": "a", "exp": exp}, SECRET, "HS256")


async def test_several_plans_are_watched_to_their_ends(
    gateway: "Gateway", owner: "Owner", own: Callable[..., "Owner"], backend: "Backend", user: UUID
) -> None:
    """connected first, then the same events with the same data as over SSE; `event` and `id` lead each message."""
    other = own(backend.accept(user))
    await other.claim()
    async with socket(gateway.url, user) as client, gateway.watch(owner.plan_id, user) as stream:
        for plan in (owner, other):
            await client.say("watch", plan.plan_id)
            await client.event("snapshot", plan.plan_id)
        await stream.event("snapshot")
        await owner.say("one")
        await other.say("two")
        await owner.say(" more")
        await owner.complete()
        await client.event("complete", owner.plan_id)
        await stream.end()
        await other.complete()
        await client.event("complete", other.plan_id)
    told = [each for each in client.messages if each["planId"] == str(owner.plan_id)]
    over_sse = [({"event": event.event} | ({"id": event.id} if event.id else {}) | orjson.loads(event.data))
                for event in stream.events]  # fmt: skip
    assert told == over_sse
    assert client.documents == {str(plan.plan_id): plan.document for plan in (owner, other)}


async def test_resuming_leaves_no_gap_and_no_repeat(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """Over another connection the very next event comes; after the end there is nothing more to come."""
    plan_id = str(owner.plan_id)
    async with socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id)
        await client.event("snapshot")
    held: Socket = client
    for step in range(4):
        async with socket(gateway.url, user) as client:
            client.documents, client.cursors = held.documents, held.cursors
            await client.say("watch", owner.plan_id, cursor=held.cursors[plan_id])
            await client.event("connected")
            await owner.say(f"{step} ")
            await client.event("progress")
            assert client.names() == ["connected", "progress"]
            held = client
    await owner.complete()
    async with socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id, cursor=held.cursors[plan_id])
        end = await client.event("complete")
        await client.say("watch", owner.plan_id, cursor=end["id"])
        await client.event("unwatched")
    assert client.names() == ["connected", "complete", "connected", "unwatched"]
    assert client.messages[2]["status"] == "completed"
    assert client.documents[plan_id] == owner.document


@pytest.mark.parametrize("cursor", ["1.0", "9.9", "nonsense"])
async def test_a_cursor_that_does_not_fit_gets_a_snapshot(
    gateway: "Gateway", owner: "Owner", user: UUID, cursor: str
) -> None:
    """As over SSE."""
    await owner.say("text")
    async with socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id, cursor=cursor)
        assert (await client.event("snapshot"))["plan"] == {"monthly_summary": "text"}


async def test_unwatch_is_the_last_word_of_a_plan(gateway: "Gateway", owner: "Owner", user: UUID, until: Until) -> None:
    """Nothing comes of it after that; its owner hears that the viewer has left; watching again begins anew."""
    async with socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id)
        await client.event("snapshot")
        await client.say("unwatch", owner.plan_id)
        await client.event("unwatched")
        await until(lambda: owner.commands == ["left"])
        await owner.say("unheard")
        await client.say("ping")
        await client.event("pong")
        assert client.names() == ["connected", "snapshot", "unwatched", "pong"]
        await client.say("watch", owner.plan_id)
        await client.until(lambda seen: seen.names().count("snapshot") == 2)
        await client.say("watch", owner.plan_id)
        await client.until(lambda seen: seen.names().count("snapshot") == 3)
        await client.say("unwatch", owner.plan_id)
        await client.say("unwatch", owner.plan_id)
        assert (await client.event("request_error"))["code"] == "not_found"


async def test_a_plan_is_cancelled_from_here(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """The answer has the final status, and the plan's own event comes as to every viewer."""
    await owner.say("kept")
    async with socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id)
        await client.event("snapshot")
        await client.say("cancel", owner.plan_id)
        assert (await client.event("cancel_reply"))["status"] == "partial"
        assert (await client.event("cancelled"))["status"] == "partial"


async def test_another_users_plan_does_not_exist(gateway: "Gateway", owner: "Owner") -> None:
    """Watched or cancelled by a stranger, it is answered as one that nobody has; and the socket goes on."""
    async with socket(gateway.url, uuid4()) as client:
        for kind in ("watch", "cancel"):
            answers = []
            for plan_id in (owner.plan_id, uuid4()):
                await client.say(kind, plan_id)
                answers.append(await client.event("request_error", plan_id))
            assert [answer["code"] for answer in answers] == ["not_found"] * 2
            assert len({answer["message"] for answer in answers}) == 1
        await client.say("ping")
        await client.event("pong")
    assert owner.commands == []


MALFORMED: list[str | bytes] = [
    "",
    "no json",
    "[]",
    "null",
    '{"type":"watch"}',
    '{"type":"watch","planId":"x"}',
    '{"type":"dance"}',
    '{"type":"ping","more":1}',
    '{"type":"watch","planId":"6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac","cursor":1}',
    '{"type":"\\ud800"}',
    "[" * 16_000,
    b"{}",
]


async def test_malformed_messages_are_answered_until_a_limit(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """Each gets an answer that says what is wrong, and does no harm to what is watched; too many close the socket."""
    async with socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id)
        await client.event("snapshot")
        for text in MALFORMED:
            await client.connection.send(text)
        await client.until(lambda seen: seen.names().count("request_error") == len(MALFORMED))
        errors = [each for each in client.messages if each["event"] == "request_error"]
        assert {error["code"] for error in errors} == {"invalid_input"}
        await owner.say("still here")
        await client.event("progress")
        for _ in range(MAX_REFUSED - len(MALFORMED)):
            await client.connection.send("x")
        await client.say("ping")
        await client.event("pong")
        await client.connection.send("x")
        assert await client.closed() == 1008


async def test_a_message_that_is_too_large_closes_the_socket(gateway: "Gateway", user: UUID) -> None:
    """With the code that RFC 6455 has for it; one of the largest size is read."""
    async with socket(gateway.url, user) as client:
        await client.connection.send("x" * MAX_MESSAGE_BYTES)
        await client.event("request_error")
        await client.connection.send("x" * (MAX_MESSAGE_BYTES + 1))
        assert await client.closed() == 1009


@pytest.mark.full
async def test_how_many_plans_a_socket_may_watch(gateway: "Gateway", backend: "Backend", user: UUID) -> None:
    """One more is refused, and there is room again when one is unwatched."""
    plans = [backend.accept(user) for _ in range(MAX_PLANS + 1)]
    async with socket(gateway.url, user) as client:
        for plan_id in plans:
            await client.say("watch", plan_id)
        refused = await client.event("request_error")
        assert (refused["planId"], refused["code"]) == (str(plans[-1]), "too_many_streams")
        await client.say("unwatch", plans[0])
        await client.event("unwatched")
        await client.say("watch", plans[-1])
        await client.event("connected", plans[-1])


async def test_messages_count_as_requests(make_gateway: "GatewayFactory", user: UUID) -> None:
    """Beyond a minute's worth each is answered with when to come again, and who goes on is closed."""
    gateway = await make_gateway(requests_per_minute_per_user=5)
    async with socket(gateway.url, user) as client:
        for _ in range(5):
            await client.say("ping")
        refused = await client.event("request_error")
        assert refused["code"] == "rate_limited"
        assert refused["retryAfter"] >= 1
        for _ in range(MAX_REFUSED + 1):
            await client.connection.send("x")
        assert await client.closed() == 1008


async def test_a_socket_is_one_stream_and_a_viewer_of_each_plan(
    make_gateway: "GatewayFactory", broker: "Client", owner: "Owner", user: UUID
) -> None:
    """It takes one place, which is free again after it; who asks for viewers counts it."""
    gateway = await make_gateway(max_streams_per_user=1)
    async with socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id)
        await client.event("snapshot")
        reply = await broker.request(f"plan.viewers.{owner.plan_id}", b"", timeout=2)
        assert orjson.loads(reply.data)["viewers"] == 1
        with pytest.raises(InvalidStatus) as refused:
            async with socket(gateway.url, user):
                pass
    assert refused.value.response.status_code == 429
    assert orjson.loads(refused.value.response.body)["code"] == "too_many_streams"
    async with asyncio.timeout(5), gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")


async def test_who_may_open_a_socket(make_gateway: "GatewayFactory", owner: "Owner", user: UUID) -> None:
    """A bearer token, or the cookie from a page that is known; nobody else, and no foreign page whatever it has."""
    gateway = await make_gateway(**JWT)
    bearer, cookie = {"Authorization": f"Bearer {_token(user)}"}, {"Cookie": f"{SECURE_NAME}={_token(user)}"}
    for allowed in (bearer, bearer | {"Origin": APP}, cookie | {"Origin": APP}):
        async with socket(gateway.url, None, **allowed) as client:
            await client.say("watch", owner.plan_id)
            await client.event("snapshot")
    refusals: list[tuple[dict[str, str], int]] = [
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"X-User-Id": str(user)}, 401),
        (cookie, 403),
        (cookie | {"Origin": EVIL}, 403),
        (bearer | {"Origin": EVIL}, 403),
    ]
    for headers, status in refusals:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(gateway.url, None, **headers):
                pass
        assert refused.value.response.status_code == status
        answer = refused.value.response.headers
        assert answer["content-type"] == "application/problem+json"
        assert answer["x-content-type-options"] == "nosniff"
        assert ("www-authenticate" in answer) == (status == 401)
        assert answer["x-request-id"]


async def test_a_socket_ends_with_its_token(make_gateway: "GatewayFactory", owner: "Owner", user: UUID) -> None:
    """With a code of its own, so that the client fetches a new one."""
    gateway = await make_gateway(**JWT)
    token = _token(user, int(time.time()) - LEEWAY_SECONDS + 2)
    async with socket(gateway.url, None, Authorization=f"Bearer {token}") as client:
        await client.say("watch", owner.plan_id)
        await client.event("snapshot")
        assert await client.closed() == 4401


async def test_a_socket_ends_with_the_drain(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """Also one that watches nothing; a newcomer is sent elsewhere; the owner's clock does not start."""
    async with socket(gateway.url, user) as idle, socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id)
        await client.event("snapshot")
        gateway.draining.begin()
        assert await client.closed() == await idle.closed() == 1012
        with pytest.raises(InvalidStatus) as refused:
            async with socket(gateway.url, user):
                pass
    assert refused.value.response.status_code == 503
    assert owner.commands == []


@pytest.mark.provokes("crash", "a bug")
async def test_a_fault_of_ours_is_told(gateway: "Gateway", user: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code for it, so that the client does not look for its own."""

    def crash(_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(socket_messages, "read_request", crash)
    async with socket(gateway.url, user) as client:
        await client.say("ping")
        assert await client.closed() == 1011


async def test_a_socket_has_an_age(make_gateway: "GatewayFactory", user: UUID) -> None:
    """As a stream has."""
    gateway = await make_gateway(max_stream_age_seconds=0.2)
    async with socket(gateway.url, user) as client:
        assert await client.closed() == 1001


async def test_a_queued_plan_is_connected_and_a_deleted_one_is_not(
    gateway: "Gateway", backend: "Backend", user: UUID
) -> None:
    """What no generator knows is plan-api's to tell."""
    queued = backend.accept(user)
    async with socket(gateway.url, user) as client:
        await client.say("watch", queued)
        assert (await client.event("connected"))["phase"] == "queued"
        del backend.owners[queued]
        await client.say("watch", queued)
        refused: dict[str, Any] = await client.event("request_error")
        assert (refused["code"], refused["planId"]) == ("not_found", str(queued))
