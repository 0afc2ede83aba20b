"""Starting a plan: the synchronous calls, and the admission that the gateway asks for."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.bodies import JsonModel, read_model
from common.contracts.errors import ErrorCode
from common.contracts.internal import AdmissionRequest, Admitted, Generation, StartRequest, SyncRequest
from common.problems import ApiError
from plan_api.admission import Start
from plan_api.endpoints.guard import Guard, idempotency_key, path_id, require_same_user
from plan_api.services import services_of


def routes(guard: Guard) -> list[Route]:
    """The routes of this module."""
    return [
        Route("/api/plan/generate", guard.user(generate_for_user), methods=["POST"]),
        Route("/service/generate", guard.service(generate_for_service), methods=["POST"]),
        Route("/internal/generations", guard.user(admit), methods=["POST"]),
        Route("/internal/generations/{plan_id}", guard.service(generation), methods=["GET"]),
    ]


async def generate_for_user(request: Request, user_id: UUID) -> Response:
    """The synchronous flow for the frontend."""
    body, _ = await read_model(request, SyncRequest)
    require_same_user(body.user_id, user_id)
    return await _generate(request, user_id, body)


async def generate_for_service(request: Request) -> Response:
    """The synchronous flow for another service, on behalf of the user in the body."""
    body, _ = await read_model(request, SyncRequest)
    if body.user_id is None:
        missing = {"pointer": "/userId", "message": "is required"}
        raise ApiError(ErrorCode.INVALID_INPUT, "userId: is required", errors=[missing])
    return await _generate(request, body.user_id, body)


async def admit(request: Request, user_id: UUID) -> Response:
    """Accept a streaming plan."""
    body, _ = await read_model(request, AdmissionRequest)
    require_same_user(body.user_id, user_id)
    asked = StartRequest.model_validate(body.model_dump(exclude={"on_disconnect_default", "watched"}))
    key = idempotency_key(request, user_id, asked)
    on_disconnect = body.on_disconnect or body.on_disconnect_default
    start = Start(user_id, body.preference_id, "stream", on_disconnect, key, watched=body.watched)
    accepted = await services_of(request).admission.admit(start)
    row = accepted.generation
    admitted = Admitted(plan_id=row.plan_id, status=row.status, replayed=accepted.replayed)
    return JsonModel(admitted, 200 if accepted.replayed else 201)


async def generation(request: Request) -> Response:
    """Whose a plan is, and how it stands."""
    row = await services_of(request).plans.generation(path_id(request, "plan_id"))
    known = Generation(
        plan_id=row.plan_id,
        user_id=row.user_id,
        preference_id=row.preference_id,
        status=row.status,
        weeks=row.weeks,
        created_at=row.created_at,
    )
    return JsonModel(known)


async def _generate(request: Request, user_id: UUID, body: SyncRequest) -> Response:
    key = idempotency_key(request, user_id, body)
    return JsonModel(await services_of(request).synchronous.generate(user_id, body.preference_id, key))
