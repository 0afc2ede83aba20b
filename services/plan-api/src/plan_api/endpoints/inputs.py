"""`/api/plan/inputs` and `/api/plan/quota`."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.bodies import JsonModel, read_model
from common.contracts.inputs import PlanInputs
from plan_api.endpoints.guard import Guard, idempotency_key, path_id, require_same_user
from plan_api.services import services_of


def routes(guard: Guard) -> list[Route]:
    """The routes of this module."""
    return [
        Route("/api/plan/inputs", guard.user(store), methods=["POST"]),
        Route("/api/plan/inputs/{preference_id}", guard.user(read), methods=["GET"]),
        Route("/api/plan/quota", guard.user(quota), methods=["GET"]),
    ]


async def store(request: Request, user_id: UUID) -> Response:
    """Store goals and preferences."""
    inputs, _ = await read_model(request, PlanInputs)
    require_same_user(inputs.user_id, user_id)
    key = idempotency_key(request, user_id, inputs)
    return JsonModel(await services_of(request).inputs.store(user_id, inputs, key), 201)


async def read(request: Request, user_id: UUID) -> Response:
    """Read them back."""
    preference_id = path_id(request, "preference_id")
    return JsonModel(await services_of(request).inputs.read(user_id, preference_id))


async def quota(request: Request, user_id: UUID) -> Response:
    """The user's month."""
    return JsonModel(await services_of(request).quota.view(user_id))
