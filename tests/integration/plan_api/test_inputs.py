"""Inputs and the quota's state over HTTP."""

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi

ROUTES = (
    ("POST", "/api/plan/inputs"),
    ("GET", f"/api/plan/inputs/{UUID(int=1)}"),
    ("GET", "/api/plan/quota"),
    ("GET", "/api/plan/plans"),
    ("GET", f"/api/plan/plans/{UUID(int=1)}"),
    ("DELETE", f"/api/plan/plans/{UUID(int=1)}"),
    ("POST", "/api/plan/generate"),
    ("POST", "/service/generate"),
    ("POST", "/internal/generations"),
    ("GET", f"/internal/generations/{UUID(int=1)}"),
)


async def test_inputs_are_read_back_with_their_defaults(plan_api: "PlanApi", user: UUID) -> None:
    """What was sent comes back, the defaults filled in, the start on a Monday to come."""
    preference_id = await plan_api.store_inputs(user, availableHours={"monday": 2}, weeks=5)
    response = await plan_api.ask("GET", f"/api/plan/inputs/{preference_id}", user)
    inputs = response.json()
    assert response.status_code == 200
    assert inputs["preferenceId"] == preference_id
    assert inputs["userId"] == str(user)
    assert (inputs["goals"], inputs["weeks"], inputs["ambition"]) == ("Learn to play the cello", 5, "balanced")
    assert inputs["availableHours"] == {"monday": 2}
    assert date.fromisoformat(inputs["startDate"]).weekday() == 0
    assert inputs["createdAt"]


async def test_a_given_start_date_is_kept(plan_api: "PlanApi", user: UUID) -> None:
    """The default does not replace what the user chose."""
    preference_id = await plan_api.store_inputs(user, startDate="2026-12-01")
    inputs = (await plan_api.ask("GET", f"/api/plan/inputs/{preference_id}", user)).json()
    assert inputs["startDate"] == "2026-12-01"


async def test_inputs_of_others_are_not_found(plan_api: "PlanApi", user: UUID) -> None:
    """Another user's id, an unknown one, and what is no id at all, look the same."""
    for name in (await plan_api.store_inputs(user), str(uuid4()), "nonsense"):
        response = await plan_api.ask("GET", f"/api/plan/inputs/{name}", uuid4())
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), name


async def test_inputs_of_another_user_are_refused(plan_api: "PlanApi", user: UUID) -> None:
    """A body may only name the user who asks."""
    response = await plan_api.ask("POST", "/api/plan/inputs", uuid4(), {"userId": str(user), "goals": "x"})
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_malformed_inputs_say_where(plan_api: "PlanApi", user: UUID) -> None:
    """A wrong body is 422 with the place of the fault."""
    response = await plan_api.ask("POST", "/api/plan/inputs", user, {"userId": str(user), "goals": "x", "weeks": 3})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert response.json()["errors"] == [{"pointer": "/weeks", "message": "must be at least 4"}]


async def test_keyed_inputs_are_stored_once(plan_api: "PlanApi", user: UUID) -> None:
    """The same key and body answer alike, in any order of keys; another body is a conflict; keys are the user's own."""
    body = {"userId": str(user), "goals": "x", "weeks": 5}
    first = await plan_api.ask("POST", "/api/plan/inputs", user, body, idempotency_key="k")
    again = await plan_api.ask("POST", "/api/plan/inputs", user, dict(reversed(body.items())), idempotency_key="k")
    other = await plan_api.ask("POST", "/api/plan/inputs", user, body | {"weeks": 4}, idempotency_key="k")
    stranger = uuid4()
    apart = await plan_api.ask(
        "POST", "/api/plan/inputs", stranger, body | {"userId": str(stranger)}, idempotency_key="k"
    )
    assert (first.status_code, again.status_code, other.status_code, apart.status_code) == (201, 201, 409, 201)
    assert first.json() == again.json() != apart.json()
    assert other.json()["code"] == "idempotency_conflict"
    assert await plan_api.count("user_goals_and_preferences") == 2


async def test_an_unusable_key_is_refused(plan_api: "PlanApi", user: UUID) -> None:
    """A key must have 1 to 255 characters."""
    body = {"userId": str(user), "goals": "x"}
    for key in ("", "x" * 256):
        response = await plan_api.ask("POST", "/api/plan/inputs", user, body, idempotency_key=key)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


async def test_a_new_user_has_the_whole_quota(plan_api: "PlanApi", user: UUID) -> None:
    """Reading the quota needs no account."""
    quota = (await plan_api.ask("GET", "/api/plan/quota", user)).json()
    assert (quota["limit"], quota["used"], quota["reserved"], quota["remaining"]) == (30, 0, 0, 30)
    assert quota["resetsAt"].endswith("-01T00:00:00Z")
    assert await plan_api.count("quota_accounts") == 0


async def test_a_user_must_be_named(plan_api: "PlanApi") -> None:
    """Without a UUID in X-User-Id nothing of a user's is served."""
    for headers in ({}, {"x-user-id": "somebody"}, {"x-user-id": "{00000000-0000-0000-0000-000000000001}"}):
        response = await plan_api.client.get("/api/plan/quota", headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")


async def test_every_route_needs_the_service_token(plan_api: "PlanApi", user: UUID) -> None:
    """A wrong token is refused before anything is read."""
    headers = {"authorization": "Bearer wrong", "x-user-id": str(user)}
    for method, path in ROUTES:
        response = await plan_api.client.request(method, path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized"), (method, path)
