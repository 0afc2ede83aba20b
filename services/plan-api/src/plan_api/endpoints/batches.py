"""Batches, which the gateway asks for."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.bodies import JsonModel, read_model
from common.contracts.public import BatchRequest
from plan_api.endpoints.guard import Guard, idempotency_key, path_id, require_same_user
from plan_api.services import services_of


def routes(guard: Guard) -> list[Route]:
    """The routes of this module."""
    return [
        Route("/internal/batches", guard.user(admit), methods=["POST"]),
        Route("/internal/batches/{batch_id}", guard.service(read), methods=["GET"]),
    ]


async def admit(request: Request, user_id: UUID) -> Response:
    """Accept each of several streaming plans, or say why not."""
    body, _ = await read_model(request, BatchRequest)
    require_same_user(body.user_id, user_id)
    key = idempotency_key(request, user_id, body)
    batches = services_of(request).batches
    return JsonModel(await batches.admit(user_id, body.preference_ids, body.on_disconnect, key), 202)


async def read(request: Request) -> Response:
    """Whose a batch is, and its plans."""
    return JsonModel(await services_of(request).batches.find(path_id(request, "batch_id")))
