"""`/api/plan/plans`."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.bodies import JsonModel
from common.contracts.errors import ErrorCode
from common.problems import ApiError
from plan_api.endpoints.guard import Guard, path_id
from plan_api.services import services_of

DEFAULT_PAGE = 20
LONGEST_PAGE = 100


def routes(guard: Guard) -> list[Route]:
    """The routes of this module."""
    return [
        Route("/api/plan/plans", guard.user(page), methods=["GET"]),
        Route("/api/plan/plans/{plan_id}", guard.user(detail), methods=["GET"]),
        Route("/api/plan/plans/{plan_id}", guard.user(delete), methods=["DELETE"]),
    ]


async def page(request: Request, user_id: UUID) -> Response:
    """The user's plans, newest first."""
    after = request.query_params.get("cursor")
    return JsonModel(await services_of(request).plans.page(user_id, _limit(request), after))


async def detail(request: Request, user_id: UUID) -> Response:
    """One plan with its content."""
    return JsonModel(await services_of(request).plans.detail(user_id, path_id(request, "plan_id")))


async def delete(request: Request, user_id: UUID) -> Response:
    """Cancel and erase one plan."""
    await services_of(request).plans.delete(user_id, path_id(request, "plan_id"))
    return Response(status_code=204)


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(DEFAULT_PAGE))
    if not (given.isascii() and given.isdigit() and len(given) <= 3 and 1 <= int(given) <= LONGEST_PAGE):
        raise ApiError(ErrorCode.INVALID_INPUT, f"limit: must be a number from 1 to {LONGEST_PAGE}.")
    return int(given)
