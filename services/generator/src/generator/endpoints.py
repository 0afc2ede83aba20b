"""HTTP in and out, for the other services."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.bodies import JsonModel, read_model
from common.contracts.errors import ErrorCode
from common.contracts.internal import CancelRequest, PlanQuery, PlanQueryResult, PlanView
from common.contracts.messages import GenerateJob
from common.ids import parse_uuid
from common.problems import ApiError
from common.service_auth import accepted_tokens, require_service
from generator.service import GenerationService
from generator.settings import Settings

MAX_QUERY_BYTES = 64 * 1024


class Endpoints:
    """The internal HTTP API; every route needs the service token."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = accepted_tokens(settings)
        self._sync_seconds = settings.streaming_timeout / 1000 + 30

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("/internal/generate", self.generate, methods=["POST"]),
            Route("/internal/plans/query", self.query, methods=["POST"]),
            Route("/internal/plans/{plan_id}", self.view, methods=["GET"]),
            Route("/internal/plans/{plan_id}", self.erase, methods=["DELETE"]),
            Route("/internal/plans/{plan_id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def generate(self, request: Request) -> Response:
        """Write a plan and answer with its end."""
        require_service(request, self._tokens)
        job, _ = await read_model(request, GenerateJob)
        view = await _service(request).generate(job.model_copy(update={"mode": "sync"}), self._sync_seconds)
        if view is None:
            raise ApiError(ErrorCode.UPSTREAM_TIMEOUT, "The plan was not finished in time.")
        return JsonModel(view)

    async def view(self, request: Request) -> Response:
        """One stored plan."""
        require_service(request, self._tokens)
        return _found(await _service(request).view(_plan_id(request)))

    async def query(self, request: Request) -> Response:
        """Many stored plans."""
        require_service(request, self._tokens)
        query, _ = await read_model(request, PlanQuery, MAX_QUERY_BYTES)
        views = await _service(request).query(query.plan_ids, watched=query.watched, brief=query.brief)
        return JsonModel(PlanQueryResult(plans=views))

    async def cancel(self, request: Request) -> Response:
        """End a plan; answers with its final row."""
        require_service(request, self._tokens)
        body, _ = await read_model(request, CancelRequest)
        return _found(await _service(request).cancel(_plan_id(request), body.user_id, body.code, body.weeks))

    async def erase(self, request: Request) -> Response:
        """Delete a plan's content."""
        require_service(request, self._tokens)
        await _service(request).erase(_plan_id(request))
        return Response(status_code=204)


def _service(request: Request) -> GenerationService:
    """The use cases of the application that serves this request; its lifespan has opened them."""
    service = request.state.service
    assert isinstance(service, GenerationService)
    return service


def _plan_id(request: Request) -> UUID:
    plan_id = parse_uuid(request.path_params["plan_id"])
    if plan_id is None:
        raise ApiError(ErrorCode.NOT_FOUND, "There is no such plan.")
    return plan_id


def _found(view: PlanView | None) -> Response:
    if view is None:
        raise ApiError(ErrorCode.NOT_FOUND, "There is no such plan.")
    return JsonModel(view)
