"""`/api/plan/*` on real sockets: what goes on, what comes back, and that nothing else of plan-api can be reached."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from common.postgres import open_database
from stream_gateway.page_routes import page_routes
from stream_gateway.repository import CancelAsked, PlanErased, Repository, SessionOpened
from testkit.secrecy import SERVICE_TOKEN

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory

TRICKS = (
    "/api/plan/../internal/generations",
    "/api/plan/%2e%2e/internal/generations",
    "/api/plan/..%2finternal/generations",
    "/api/plan/%2E%2E%2Finternal%2Fgenerations",
    "/api/plan/x/..%5c..%5cinternal",
    "/api/plan//internal/generations",
    "/api/plan//evil.test/x",
    "/api/plan/inputs%2f..%2f..%2finternal",
    "/api/plan/inputs;/../../internal",
    "/api/plan/%252e%252e/internal",
    "/api/plan/inputs/",
    "/api/plan/",
    "/api/plan",
    "/api/planner/x",
    "/API/plan/inputs",
    "//api/plan/inputs",
    "/internal/generations",
    "/service/generate",
    "/api/plan/%00",
    "http://plan-api/internal/generations",
)


async def test_a_request_goes_on_with_who_the_user_is_and_little_else(
    gateway: "Gateway", user: UUID, backend: "Backend"
) -> None:
    """Service token and user are ours; the client's own credentials, cookies and hop headers stay behind."""
    headers = {
        "X-User-Id": str(user),
        "Authorization": "Bearer the-clients-own",
        "Cookie": "session=1",
        "Connection": "X-Hop",
        "X-Hop": "1",
        "X-Forwarded-For": "1.2.3.4",
        "Idempotency-Key": "key",
        "Content-Type": "application/json",
    }
    query = f"?userId={user}&cursor=a%2Bb&limit=2&empty="
    response = await gateway.client.post(f"/api/plan/inputs{query}", content=b'{"a":1}', headers=headers)
    told = response.json()
    assert (told["path"], told["query"]) == ("/api/plan/inputs", "cursor=a%2Bb&limit=2&empty=")
    sent = told["headers"]
    assert sent["authorization"] == f"Bearer {SERVICE_TOKEN}"
    assert sent["x-user-id"] == str(user)
    assert (sent["idempotency-key"], sent["content-type"], told["body"]) == ("key", "application/json", '{"a":1}')
    assert not {"cookie", "x-hop", "x-forwarded-for"} & sent.keys()
    assert response.status_code == 202
    assert (response.headers["retry-after"], response.headers["location"]) == ("7", "/api/plan/plans/1")
    assert "x-secret" not in response.headers
    deleted = await gateway.client.delete("/api/plan/plans/abc", headers={"X-User-Id": str(user)})
    assert deleted.json()["path"] == "/api/plan/plans/abc"


async def test_a_deleted_plan_leaves_nothing_here(
    gateway: "Gateway", user: UUID, backend: "Backend", database: str
) -> None:
    """Its owner, streams and cancellations are erased with it; another's try erases nothing, and others' rows stay."""
    kept, gone = backend.accept(user), backend.accept(user)
    headers = {"X-User-Id": str(user)}
    for plan_id in (kept, gone):
        async with gateway.watch(plan_id, user) as stream:
            await stream.event("connected")
        cancelled = await gateway.client.delete(f"/api/streaming/cancel/{plan_id}", headers=headers)
        assert cancelled.status_code == 200
    connection = await asyncpg.connect(database)
    try:
        await _until_rows(connection, {kept: 3, gone: 3})
        path = f"/api/plan/plans/{gone}"
        assert (await gateway.client.delete(path, headers={"X-User-Id": str(uuid4())})).status_code == 404
        async with gateway.watch(gone, user, last_id="0.0"):
            # Its row is written, its close comes after the erasure and must not bring it back.
            await _until_rows(connection, {kept: 3, gone: 4})
            assert (await gateway.client.delete(path, headers=headers)).status_code == 204
            await _until_rows(connection, {kept: 3})
        status = await gateway.client.get(f"/api/streaming/status/{gone}", headers=headers)
        assert (status.status_code, status.json()["code"]) == (404, "not_found")
        async with gateway.watch(kept, user):
            await _until_rows(connection, {kept: 4})
    finally:
        await connection.close()


async def test_another_gateway_brings_nothing_back(
    gateway: "Gateway", make_gateway: "GatewayFactory", user: UUID, backend: "Backend", database: str
) -> None:
    """What it writes after the erasure, because it remembers the owner for a while, is not written at all."""
    other, gone, headers = await make_gateway(), backend.accept(user), {"X-User-Id": str(user)}
    connection = await asyncpg.connect(database)
    try:
        async with other.watch(gone, user) as stream:
            await stream.event("connected")
        await _until_rows(connection, {gone: 2})
        assert (await gateway.client.delete(f"/api/plan/plans/{gone}", headers=headers)).status_code == 204
        await _until_rows(connection, {})
        assert (await other.client.delete(f"/api/streaming/cancel/{gone}", headers=headers)).status_code == 200
        kept = backend.accept(user)
        async with other.watch(kept, user) as stream:
            await stream.event("connected")
        await _until_rows(connection, {kept: 2})
    finally:
        await connection.close()


async def test_rows_of_the_moment_of_the_erasure_are_found(
    migrated: Callable[..., Awaitable[str]], database: str
) -> None:
    """Written in a transaction that had begun before, they go with the next sweep; old tombstones go as well."""
    kept, gone, old, user, now = uuid4(), uuid4(), uuid4(), uuid4(), datetime.now(UTC)
    connection = await asyncpg.connect(database)
    async with open_database(SecretStr(await migrated("stream_gateway")), "test") as opened:
        repository = Repository(opened)
        await repository.write([PlanErased(gone), PlanErased(old)])
        await connection.execute(
            "UPDATE stream_gateway.erased_plans SET erased_at = now() - interval '2 days' WHERE plan_id = $1", old
        )
        for plan_id in (kept, gone):
            await connection.execute("INSERT INTO stream_gateway.plan_streams VALUES ($1, $2)", plan_id, user)
        await repository.write([SessionOpened(uuid4(), gone, user, now), CancelAsked(uuid4(), gone, user, now)])
        await _until_rows(connection, {kept: 1, gone: 1})
        await repository.erase_again()
        await _until_rows(connection, {kept: 1})
        left = await connection.fetch("SELECT plan_id FROM stream_gateway.erased_plans")
    await connection.close()
    assert [row["plan_id"] for row in left] == [gone]


async def test_a_delete_whose_answer_was_lost(
    gateway: "Gateway", user: UUID, backend: "Backend", database: str
) -> None:
    """plan-api knows the plan no more: whose it was is told that it is gone, and nothing of it stays; nobody else."""
    gone, headers = backend.accept(user), {"X-User-Id": str(user)}
    connection = await asyncpg.connect(database)
    try:
        async with gateway.watch(gone, user) as stream:
            await stream.event("connected")
        await _until_rows(connection, {gone: 2})
        del backend.owners[gone]
        path = f"/api/plan/plans/{gone}"
        assert (await gateway.client.delete(path, headers={"X-User-Id": str(uuid4())})).status_code == 404
        assert (await gateway.client.delete(path, headers=headers)).status_code == 204
        await _until_rows(connection, {})
        assert (await gateway.client.delete(path, headers=headers)).status_code == 404
    finally:
        await connection.close()


async def _until_rows(connection: "asyncpg.Connection[asyncpg.Record]", expected: dict[UUID, int]) -> None:
    tables = ("plan_streams", "stream_sessions", "cancel_requests")
    parts = (f"SELECT plan_id FROM stream_gateway.{table}" for table in tables)
    query = f"SELECT plan_id, count(*) FROM ({' UNION ALL '.join(parts)}) GROUP BY plan_id"
    async with asyncio.timeout(5):
        while {row["plan_id"]: row["count"] for row in await connection.fetch(query)} != expected:
            await asyncio.sleep(0.02)


async def test_a_plan_deleted_elsewhere_is_soon_gone_here(
    gateway: "Gateway", make_gateway: "GatewayFactory", user: UUID, backend: "Backend"
) -> None:
    """Another gateway remembers whose the plan was for a few seconds, and says then that there is none."""
    other, plan_id, headers = await make_gateway(), backend.accept(user), {"X-User-Id": str(user)}
    cancel = f"/api/streaming/cancel/{plan_id}"
    assert (await other.client.delete(cancel, headers=headers)).status_code == 200
    assert (await gateway.client.delete(f"/api/plan/plans/{plan_id}", headers=headers)).status_code == 204
    async with asyncio.timeout(8):
        while (await other.client.delete(cancel, headers=headers)).status_code != 404:
            await asyncio.sleep(0.1)
    assert (await other.client.get(f"/api/streaming/status/{plan_id}", headers=headers)).status_code == 404


async def test_a_body_without_its_type_goes_on_without_one(gateway: "Gateway", user: UUID) -> None:
    """It is for plan-api to refuse, as it would without us."""
    response = await gateway.client.post("/api/plan/inputs", content=b"{}", headers={"X-User-Id": str(user)})
    assert "content-type" not in response.json()["headers"]


async def test_in_development_the_user_may_stand_in_the_body(
    gateway: "Gateway", user: UUID, backend: "Backend"
) -> None:
    """As the guide's client sends it; without any user it is 401."""
    response = await gateway.client.post("/api/plan/inputs", json={"userId": str(user)})
    assert response.json()["headers"]["x-user-id"] == str(user)
    assert (await gateway.client.get("/api/plan/quota")).status_code == 401


async def test_no_path_leads_out_of_api_plan(gateway: "Gateway", user: UUID, backend: "Backend") -> None:
    """Dot segments, encoded or doubled slashes and the internal routes are 404, sent raw as no library would."""
    parts = urlsplit(gateway.url)
    for path in TRICKS:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-User-Id: {user}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert line.split()[1] in {b"404", b"400"}, path
    assert backend.seen == []


@pytest.mark.provokes("5xx", "the service token is another")
async def test_what_plan_api_says_of_our_token_does_not_reach_the_client(
    make_gateway: "GatewayFactory", user: UUID
) -> None:
    """A wrong service token is our fault: 503, never 401."""
    gateway = await make_gateway(service_token="some-other-service-token")
    response = await gateway.client.get("/api/plan/quota", headers={"X-User-Id": str(user)})
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


async def test_a_body_that_is_too_large_is_refused(gateway: "Gateway", user: UUID, backend: "Backend") -> None:
    """413 at 64 KiB, with a length and without."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b"x" * 1024

    for content in (b"x" * 70_000, parts()):
        response = await gateway.client.post("/api/plan/inputs", content=content, headers={"X-User-Id": str(user)})
        assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert backend.seen == []


async def test_the_page_is_served_and_talks_to_nobody_else(gateway: "Gateway") -> None:
    """The page, its modules and its style, under a policy of this origin alone."""
    page = await gateway.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    loads = [route.path for route in page_routes() if route.path not in {"/", "/page/icon.svg", "/plan-stream.d.ts"}]
    assert "/plan-stream.js" in loads
    for path in loads:
        loaded = await gateway.client.get(path)
        assert (loaded.status_code, loaded.headers["x-content-type-options"]) == (200, "nosniff")
        assert "http:" not in loaded.text
        assert "https:" not in loaded.text
        assert "innerHTML" not in loaded.text
    assert "http" not in page.text


@pytest.mark.provokes("5xx", "the gateway is told to end")
async def test_health_says_what_is_there(gateway: "Gateway") -> None:
    """Alive and ready, with the dependencies named."""
    assert (await gateway.client.get("/livez")).json() == {"status": "alive"}
    ready = await gateway.client.get("/readyz")
    assert (ready.status_code, ready.json()["dependencies"]) == (200, {"nats": "up", "postgres": "up"})
    gateway.draining.begin()
    assert (await gateway.client.get("/readyz")).status_code == 503
