"""A user's plans: list, content, deletion."""

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from common.contracts.errors import ErrorCode

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi


async def test_the_list_is_paged_newest_first(plan_api: "PlanApi", user: UUID) -> None:
    """Every plan once, in order, over three pages; the last has no cursor; others see nothing."""
    made = [str(await plan_api.started(user)) for _ in range(5)]
    seen: list[str] = []
    after = ""
    for _ in range(3):
        page = (await plan_api.ask("GET", f"/api/plan/plans?limit=2{after}", user)).json()
        seen += [plan["planId"] for plan in page["plans"]]
        after = f"&cursor={page['nextCursor']}"
    assert (seen, page["nextCursor"]) == (made[::-1], None)
    others = (await plan_api.ask("GET", "/api/plan/plans", uuid4())).json()
    assert others == {"plans": [], "nextCursor": None}


async def test_a_malformed_page_is_refused(plan_api: "PlanApi", user: UUID) -> None:
    """A cursor that is not ours, and a limit that is no number from 1 to 100."""
    for query in ("cursor=x", "cursor=AAAA", "limit=0", "limit=101", "limit=a", "limit=-1", "cursor=%C3%A4"):
        response = await plan_api.ask("GET", f"/api/plan/plans?{query}", user)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_input"), query


async def test_a_queued_plan_has_no_content(plan_api: "PlanApi", user: UUID) -> None:
    """Before a generator has claimed it, a plan is generating, queued, and empty."""
    plan_id = await plan_api.started(user)
    plan = (await plan_api.ask("GET", f"/api/plan/plans/{plan_id}", user)).json()
    assert (plan["status"], plan["plan"], plan["error"], plan["endedAt"]) == ("generating", None, None, None)
    assert (plan["progress"]["phase"], plan["progress"]["weeksTotal"]) == ("queued", 4)


async def test_reading_an_ended_plan_settles_it(plan_api: "PlanApi", user: UUID) -> None:
    """The generator's terminal row is the truth, also when its news was lost."""
    plan_id = await plan_api.started(user)
    plan_api.generator.ended(plan_id, user)
    plan = (await plan_api.ask("GET", f"/api/plan/plans/{plan_id}", user)).json()
    assert (plan["status"], plan["plan"]["monthly_summary"]) == ("completed", "A month of steady work.")
    assert plan["usage"]["totalTokens"] == 5
    assert plan["endedAt"]
    assert await plan_api.balance(user) == (1, 0)


async def test_a_failed_plan_says_why(plan_api: "PlanApi", user: UUID) -> None:
    """Code, sentence, and whether another try may help."""
    plan_id = await plan_api.started(user)
    plan_api.generator.ended(plan_id, user, "failed", "released", ErrorCode.CONTENT_REFUSED)
    error = (await plan_api.ask("GET", f"/api/plan/plans/{plan_id}", user)).json()["error"]
    assert (error["code"], error["retryable"]) == ("content_refused", False)
    assert "declined" in error["message"]


async def test_content_needs_a_generator(plan_api: "PlanApi", user: UUID) -> None:
    """503 while none answers."""
    plan_id = await plan_api.started(user)
    plan_api.generator.away = True
    response = await plan_api.ask("GET", f"/api/plan/plans/{plan_id}", user)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


async def test_plans_of_others_are_not_found(plan_api: "PlanApi", user: UUID) -> None:
    """Neither read nor deleted by another user; an unknown and a malformed id look the same."""
    plan_id = await plan_api.started(user)
    for name in (plan_id, uuid4(), "nonsense"):
        for method in ("GET", "DELETE"):
            response = await plan_api.ask(method, f"/api/plan/plans/{name}", uuid4())
            assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert plan_api.generator.cancels == []


async def test_deleting_a_queued_plan_cancels_and_gives_back(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 14: first the tombstone, then the quota, then the plan is gone everywhere, its inputs' copy too."""
    preference_id = await plan_api.store_inputs(user, weeks=5)
    plan_id = UUID((await plan_api.start(user, preference_id, idempotency_key="k")).json()["planId"])
    path = f"/api/plan/plans/{plan_id}"
    assert (await plan_api.ask("DELETE", path, user)).status_code == 204
    assert plan_api.generator.cancels == [{"userId": str(user), "weeks": 5}]
    assert plan_api.generator.erased == [plan_id]
    assert await plan_api.balance(user) == (0, 0)
    for method, gone in (("GET", path), ("DELETE", path), ("GET", f"/internal/generations/{plan_id}")):
        assert (await plan_api.ask(method, gone, user)).status_code == 404
    assert (await plan_api.start(user, preference_id, idempotency_key="k")).status_code == 404
    assert (await plan_api.ask("GET", "/api/plan/plans", user)).json()["plans"] == []
    assert await plan_api.admin.fetchval("SELECT preferences FROM plan_api.generations") == "{}"


async def test_deleting_a_running_plan_with_content_uses_it(plan_api: "PlanApi", user: UUID) -> None:
    """The charge is the generator's."""
    plan_id = await plan_api.started(user)
    plan_api.generator.running(plan_id, user, plan={"monthly_summary": "A"})
    assert (await plan_api.ask("DELETE", f"/api/plan/plans/{plan_id}", user)).status_code == 204
    assert await plan_api.balance(user) == (1, 0)


async def test_a_running_plan_is_not_deleted_without_its_generator(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 14: 503, and the plan stands as before; an ended one is hidden at once and erased later."""
    running, ended = await plan_api.started(user), await plan_api.started(user)
    plan_api.generator.ended(ended, user)
    await plan_api.ask("GET", f"/api/plan/plans/{ended}", user)
    plan_api.generator.away = True
    refused = await plan_api.ask("DELETE", f"/api/plan/plans/{running}", user)
    hidden = await plan_api.ask("DELETE", f"/api/plan/plans/{ended}", user)
    assert (refused.status_code, hidden.status_code) == (503, 204)
    assert await plan_api.balance(user) == (1, 1)
    plan_api.generator.away = False
    await plan_api.reconciler.sweep()
    assert plan_api.generator.erased == [ended]
    await plan_api.reconciler.sweep()
    assert plan_api.generator.erased == [ended]
