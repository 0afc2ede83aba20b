"""plan-api and the generators as a gateway meets them over HTTP."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.contracts.errors import ErrorCode
from common.contracts.events import Progress
from common.contracts.internal import Admitted, CancelRequest, Generation, PlanQuery, PlanQueryResult, PlanView
from common.contracts.public import Batch, BatchItem, BatchRefusal, BatchRequest
from testkit.secrecy import SERVICE_TOKEN

TOKEN = SERVICE_TOKEN


def progress_of(percent: float = 0, phase: Literal["streaming"] | None = "streaming") -> Progress:
    """Some progress."""
    return Progress(
        phase=phase, weeks_completed=0, weeks_total=4, percent=percent, chars=0, tokens_per_second=0, elapsed_ms=0
    )


def row_of(plan_id: UUID, **fields: Any) -> PlanView:
    """A stored row, by default of a running plan."""
    values: dict[str, Any] = {
        "plan_id": plan_id,
        "user_id": uuid4(),
        "status": "generating",
        "attempt": 1,
        "seq": 0,
        "phase": "streaming",
        "progress": progress_of(),
        "updated_at": datetime.now(UTC),
    }
    return PlanView(**(values | fields))


class Backend:
    """plan-api and the generators' internal interface, over facts that a test writes."""

    def __init__(self) -> None:
        self.url = ""
        self.away = False
        self.owners: dict[UUID, UUID] = {}
        self.rows: dict[UUID, PlanView] = {}
        self.seen: list[tuple[str, str]] = []  # method and path
        self.requests: list[dict[str, Any]] = []  # what plan-api got
        self.queries: list[PlanQuery] = []
        self.cancels: list[CancelRequest] = []
        self.batches: dict[UUID, Batch] = {}
        self.refused: set[UUID] = set()  # preferences for which no plan is admitted
        self.refusal: Response | None = None
        self.admitting: asyncio.Event | None = None  # an admission waits for it
        internal = "/internal/plans"
        routes = [
            Route(f"{internal}/query", self._query, methods=["POST"]),
            Route(f"{internal}/{{plan_id:uuid}}", self._view, methods=["GET"]),
            Route(f"{internal}/{{plan_id:uuid}}/cancel", self._cancel, methods=["POST"]),
            Route("/internal/generations", self._admit, methods=["POST"]),
            Route("/internal/generations/{plan_id:uuid}", self._generation, methods=["GET"]),
            Route("/internal/batches", self._admit_batch, methods=["POST"]),
            Route("/internal/batches/{batch_id:uuid}", self._batch, methods=["GET"]),
            Route("/api/plan/plans/{plan_id:uuid}", self._delete, methods=["DELETE"]),
            Route("/{path:path}", self._echo, methods=["GET", "POST", "DELETE"]),
        ]
        self.app = Starlette(routes=routes)

    def accept(self, user_id: UUID, plan_id: UUID | None = None) -> UUID:
        """plan-api knows a plan of this user."""
        plan_id = plan_id or uuid4()
        self.owners[plan_id] = user_id
        return plan_id

    async def _note(self, request: Request) -> Response | None:
        self.seen.append((request.method, request.url.path))
        if self.away:
            return Response(status_code=503)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(status_code=401)
        return None

    async def _query(self, request: Request) -> Response:
        query = PlanQuery.model_validate_json(await request.body())
        self.queries.append(query)
        if (answer := await self._note(request)) is not None:
            return answer
        rows = [self.rows[plan_id] for plan_id in query.plan_ids if plan_id in self.rows]
        if query.brief:
            rows = [row.model_copy(update={"plan": None}) for row in rows]
        return Response(PlanQueryResult(plans=rows).to_json(), media_type="application/json")

    async def _view(self, request: Request) -> Response:
        if (answer := await self._note(request)) is not None:
            return answer
        row = self.rows.get(request.path_params["plan_id"])
        return Response(status_code=404) if row is None else Response(row.to_json())

    async def _cancel(self, request: Request) -> Response:
        self.cancels.append(CancelRequest.model_validate_json(await request.body()))
        if (answer := await self._note(request)) is not None:
            return answer
        plan_id = request.path_params["plan_id"]
        row = self.rows.get(plan_id) or row_of(plan_id, attempt=0, seq=0)
        if row.status == "generating":
            status = "partial" if row.plan else "failed"
            row = row.model_copy(
                update={"status": status, "ended_as": "cancelled", "attempt": row.attempt + 1, "seq": 1}
            )
            self.rows[plan_id] = row
        return Response(row.to_json())

    async def _admit(self, request: Request) -> Response:
        self.requests.append({"headers": dict(request.headers), "body": orjson.loads(await request.body())})
        answer = await self._note(request) or self.refusal
        if answer is not None:
            return answer
        if self.admitting is not None:
            await self.admitting.wait()
        plan_id = self.accept(UUID(request.headers["x-user-id"]))
        return Response(Admitted(plan_id=plan_id).to_json(), 201, media_type="application/json")

    def batch_of(self, user_id: UUID, plan_ids: Sequence[UUID]) -> Batch:
        """plan-api knows a batch of these plans."""
        items = [BatchItem(preference_id=uuid4(), plan_id=plan_id) for plan_id in plan_ids]
        batch = Batch(batch_id=uuid4(), user_id=user_id, items=items)
        self.batches[batch.batch_id] = batch
        return batch

    async def _admit_batch(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append({"headers": dict(request.headers), "body": orjson.loads(body)})
        answer = await self._note(request) or self.refusal
        if answer is not None:
            return answer
        batch = Batch(batch_id=uuid4(), user_id=UUID(request.headers["x-user-id"]), items=[])
        for preference_id in BatchRequest.model_validate_json(body).preference_ids:
            if preference_id in self.refused:
                error = BatchRefusal(code=ErrorCode.NOT_FOUND, detail="There are no such preferences.")
                batch.items.append(BatchItem(preference_id=preference_id, error=error))
            else:
                batch.items.append(BatchItem(preference_id=preference_id, plan_id=self.accept(batch.user_id)))
        self.batches[batch.batch_id] = batch
        return Response(batch.to_json(), 202, media_type="application/json")

    async def _batch(self, request: Request) -> Response:
        if (answer := await self._note(request)) is not None:
            return answer
        batch = self.batches.get(request.path_params["batch_id"])
        return Response(status_code=404) if batch is None else Response(batch.to_json())

    async def _generation(self, request: Request) -> Response:
        if (answer := await self._note(request)) is not None:
            return answer
        plan_id = request.path_params["plan_id"]
        owner = self.owners.get(plan_id)
        if owner is None:
            return Response(status_code=404)
        known = Generation(
            plan_id=plan_id,
            user_id=owner,
            preference_id=uuid4(),
            status="generating",
            weeks=5,
            created_at=datetime.now(UTC),
        )
        return Response(known.to_json())

    async def _delete(self, request: Request) -> Response:
        if (answer := await self._note(request)) is not None:
            return answer
        owner = self.owners.get(request.path_params["plan_id"])
        if str(owner) != request.headers["x-user-id"]:
            return Response(status_code=404)
        del self.owners[request.path_params["plan_id"]]
        self.rows.pop(request.path_params["plan_id"], None)
        return Response(status_code=204)

    async def _echo(self, request: Request) -> Response:
        body = await request.body()
        if (answer := await self._note(request)) is not None:
            return answer
        told = {"path": request.scope["raw_path"].decode(), "query": request.url.query, "body": body.decode()}
        told |= {"headers": dict(request.headers)}
        return JSONResponse(told, 202, {"Retry-After": "7", "Location": "/api/plan/plans/1", "X-Secret": "1"})
