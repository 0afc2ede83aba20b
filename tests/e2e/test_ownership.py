"""Two users and every route: what is another's does not exist. The matrix comes from the services' own route tables."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from typing import Any, get_args
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.routing import BaseRoute, Route, WebSocketRoute
from websockets.asyncio.client import connect

import plan_api.app
import plan_api.settings
import stream_gateway.app
import stream_gateway.settings
from common.server import Draining
from local_stack import Stack
from stream_gateway.socket_messages import SocketRequest
from testkit import User

# The path parameters that name something which has an owner, and what they name: an attribute of `Belongings`.
PATH_IDS = {"plan_id": "plan", "preference_id": "preference", "batch_id": "batch"}
# The routes whose body names something which has an owner: method, path, the body's member, and what it names.
BODY_IDS = {
    ("POST", "/api/streaming/generate-plan"): ("preferenceId", "preference"),
    ("POST", "/api/plan/generate"): ("preferenceId", "preference"),
}
# The routes that take a body in which no such id stands.
NO_IDS = {("POST", "/api/plan/inputs"), ("POST", "/api/session")}
# The routes whose body names several of them, of which each is answered on its own; and the WebSockets.
MANY_IDS = {("POST", "/api/streaming/batches")}
SOCKETS = {"/api/streaming/ws"}
# Leads to plan-api, whose own table has the routes behind it.
PASSED_ON = "/api/plan/{path:path}"
# The owner's turn comes after the strangers', and what takes something away comes last.
LAST = ("DELETE", "/api/plan/plans/{plan_id}")


@dataclass(frozen=True)
class Belongings:
    """What a user has; or ids that nobody has."""

    plan: str
    preference: str
    batch: str

    @classmethod
    def of_nobody(cls) -> "Belongings":
        """Ids of nothing."""
        return cls(*(str(uuid4()) for _ in fields(cls)))


@dataclass(frozen=True)
class Case:
    """One method of one route that carries an id."""

    method: str
    path: str
    name: str
    in_body: str | None = None

    def request(self, things: Belongings) -> dict[str, Any]:
        """The request for one of these things."""
        value = getattr(things, self.name)
        if self.in_body is not None:
            return {"method": self.method, "url": self.path, "json": {self.in_body: value}}
        parameter = next(parameter for parameter in PATH_IDS if f"{{{parameter}}}" in self.path)
        return {"method": self.method, "url": self.path.replace(f"{{{parameter}}}", value)}


def cases(routes: Iterable[BaseRoute]) -> list[Case]:
    """Every method of every route that carries an id.

    Raises:
        AssertionError: a route is not known here; it says what to add.
    """
    found = []
    for route in routes:
        if isinstance(route, WebSocketRoute):
            assert route.path in SOCKETS, f"{route.path}: let a test try every message of it, and add it to SOCKETS"
            continue
        assert isinstance(route, Route), f"{route}: say in cases() how the matrix tries this kind of route"
        path, unknown = route.path, set(route.param_convertors) - PATH_IDS.keys()
        if path == PASSED_ON:
            continue
        assert not unknown, f"{path} carries {unknown}: add it to PATH_IDS, and what it names to Belongings"
        names = [PATH_IDS[parameter] for parameter in route.param_convertors]
        assert len(names) <= 1, f"{path} carries several ids: let Case.request() fill them all in"
        for method in sorted(route.methods or ()):
            if names:
                found.append(Case(method, path, names[0]))
            elif (method, path) in BODY_IDS:
                member, name = BODY_IDS[method, path]
                found.append(Case(method, path, name, member))
            else:
                known = method in {"GET", "HEAD", "DELETE"} or (method, path) in NO_IDS | MANY_IDS
                assert known, f"{method} {path} takes a body: add it to BODY_IDS or NO_IDS"
    return found


def tables() -> list[BaseRoute]:
    """The public routes of both services."""
    common: dict[str, Any] = {"database_url": "postgresql://x", "service_token": "x" * 16, "host": "127.0.0.1"}
    gateway = stream_gateway.settings.Settings(auth_mode="dev", **common)
    behind = plan_api.app.create_app(plan_api.settings.Settings(**common), Draining())
    return [
        *stream_gateway.app.route_table(gateway, Draining(), stream_gateway.app.Dependencies()),
        *(route for route in behind.routes if isinstance(route, Route) and route.path.startswith("/api/plan/")),
    ]


@pytest.fixture
async def owner(stack: Stack) -> AsyncIterator[User]:
    """Who has the things."""
    async with User.at(stack.gateway) as somebody:
        yield somebody


async def test_what_is_anothers_does_not_exist(stack: Stack, owner: User) -> None:
    """On every gateway and route, a stranger hears of another's things what they hear of nobody's, to the letter."""
    preference = await owner.inputs()
    answer = await owner.http.post("/api/plan/generate", json=owner.body(preference))
    assert answer.status_code == 200, answer.text
    plan_id = answer.json()["planId"]
    started = await owner.http.post("/api/streaming/batches", json={"preferenceIds": [preference]})
    things = Belongings(plan=plan_id, preference=preference, batch=started.json()["batchId"])
    before = await owner.plan(plan_id)
    matrix = cases(tables())
    assert len(matrix) >= 10
    for gateway in stack.addresses.gateways:
        async with User.at(gateway) as stranger:
            for case in matrix:
                nobodys = Belongings.of_nobody()
                theirs = await stranger.http.request(**case.request(things))
                unknown = await stranger.http.request(**case.request(nobodys))
                assert theirs.status_code == 404, f"{case} is answered {theirs.status_code}: {theirs.text}"
                assert _told(theirs) == _told(unknown), case
                assert case.method == "HEAD" or theirs.json()["code"] == "not_found"
    assert await owner.plan(plan_id) == before
    [written] = [line["planId"] for line in started.json()["plans"]]
    assert (await owner.status(UUID(written)))["status"] in ("generating", "completed")
    # The same requests are their owner's to make: it was not for a wrong id that nobody was let in.
    for case in sorted(matrix, key=lambda case: (case.method, case.path) == LAST):
        async with AsyncExitStack() as opened:
            request = owner.http.stream(**case.request(things), headers={"Accept": "application/json"})
            assert (await opened.enter_async_context(request)).is_success, case


def _told(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, answer.text, headers


async def test_a_batch_of_anothers_preferences_has_no_plans(stack: Stack, owner: User) -> None:
    """Each is answered as one that nobody has, beside what is one's own."""
    preference = await owner.inputs()
    async with User.at(stack.gateway) as stranger:
        asked = [preference, str(uuid4()), await stranger.inputs()]
        answer = await stranger.http.post("/api/streaming/batches", json={"preferenceIds": asked})
    theirs, unknown, own = answer.json()["plans"]
    assert theirs["error"] == unknown["error"]
    assert theirs["error"]["code"] == "not_found"
    assert "planId" in own


# Every message that names a plan, from the union of all messages.
_NAMING = [
    get_args(model.model_fields["type"].annotation)[0]
    for model in get_args(get_args(SocketRequest)[0])
    if "plan_id" in model.model_fields
]


@pytest.mark.parametrize("kind", _NAMING)
async def test_anothers_plan_does_not_exist_over_a_socket(stack: Stack, owner: User, kind: str) -> None:
    """On every gateway, whatever is asked of it."""
    assert len(_NAMING) >= 3
    plan_id = str(await owner.start())
    for gateway in stack.addresses.gateways:
        address = f"ws{gateway.removeprefix('http')}/api/streaming/ws"
        async with connect(address, additional_headers={"X-User-Id": str(uuid4())}, proxy=None) as socket:
            told = []
            for asked in (plan_id, str(uuid4())):
                await socket.send(json.dumps({"type": kind, "planId": asked}))
                async with asyncio.timeout(10):
                    told.append(json.loads(await socket.recv()))
                assert told[-1].pop("planId") == asked
        assert told[0] == told[1]
        assert (told[0]["event"], told[0]["code"]) == ("request_error", "not_found")
    assert (await owner.status(UUID(plan_id)))["status"] in ("generating", "completed")


async def _nothing(_: object) -> None: ...


@pytest.mark.parametrize(
    ("route", "advice"),
    [
        (Route("/api/streaming/drafts/{draft_id}", _nothing, methods=["GET"]), "PATH_IDS"),
        (Route("/api/new", _nothing, methods=["POST"]), "BODY_IDS"),
        (Route("/api/plan/plans/{plan_id}/{preference_id}", _nothing, methods=["GET"]), "several"),
        (BaseRoute(), "cases()"),
        (WebSocketRoute("/api/other", _nothing), "SOCKETS"),
    ],
)
def test_a_new_route_cannot_be_forgotten(route: BaseRoute, advice: str) -> None:
    """The matrix fails for what it does not know, and says what to add."""
    with pytest.raises(AssertionError) as failure:
        cases([*tables(), route])
    assert advice in str(failure.value)
