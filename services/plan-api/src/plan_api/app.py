"""The composition root: routes, lifespan, and what is wired to what."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from common.broker import open_broker
from common.contracts.errors import ErrorCode
from common.generator_client import GeneratorClient, open_service_client
from common.health import Dependencies, health_routes
from common.lag import LoopLag
from common.metrics import open_admin
from common.postgres import UNAVAILABLE, Database, open_database
from common.problems import EXCEPTION_HANDLERS, ApiError, problem_response
from common.retention import Retention
from common.server import Draining
from common.service_auth import accepted_tokens
from common.tasks import background
from common.tracing import Traced
from plan_api import metrics
from plan_api.admission import Admission
from plan_api.backlog import Backlog
from plan_api.batches import Batches
from plan_api.endpoints import batches, generations, inputs, plans
from plan_api.endpoints.guard import Guard
from plan_api.outbox import Outbox
from plan_api.outcomes import Outcomes
from plan_api.plans import Plans
from plan_api.quota import Policy
from plan_api.reconcile import Reconciler
from plan_api.repository.retention import STATEMENTS
from plan_api.service import Inputs, Quota
from plan_api.services import Services
from plan_api.settings import Settings
from plan_api.settlement import Settlement
from plan_api.synchronous import Synchronous
from plan_api.verdict import Patience

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 2


def create_app(settings: Settings, draining: Draining) -> Starlette:
    """The application; its lifespan opens everything and closes it in reverse order."""
    dependencies = Dependencies()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            yield {"services": await _open(settings, stack, dependencies)}

    guard = Guard(accepted_tokens(settings))
    return Starlette(
        routes=[
            *inputs.routes(guard),
            *plans.routes(guard),
            *generations.routes(guard),
            *batches.routes(guard),
            *health_routes(draining, dependencies.checks()),
        ],
        middleware=[Middleware(Traced)],
        exception_handlers={**EXCEPTION_HANDLERS, **dict.fromkeys(UNAVAILABLE, _on_postgres_away)},
        lifespan=lifespan,
    )


async def _open(settings: Settings, stack: AsyncExitStack, dependencies: Dependencies) -> Services:
    database = await stack.enter_async_context(open_database(settings.database_url, "plan-api"))
    broker = await stack.enter_async_context(open_broker(settings.nats_url, "plan-api", settings.nats_options))
    client = await stack.enter_async_context(open_service_client(settings.service_token))
    generator = GeneratorClient(client, settings.generator_urls)
    dependencies.database, dependencies.broker = database, broker

    policy = Policy(settings.quota_plans_per_month, settings.max_running_plans_per_user)
    patience = Patience(settings.queue_timeout_seconds, settings.synchronous_seconds)
    settlement = Settlement(database)
    outbox = Outbox(database, broker)
    reconciler = Reconciler(database, generator, settlement, patience)
    admission = Admission(database, broker, outbox, reconciler, policy)

    await stack.enter_async_context(background("connections", database.keep_warm))
    await stack.enter_async_context(background("outbox", outbox.run))
    await stack.enter_async_context(background("outcomes", Outcomes(broker, settlement).run))
    await stack.enter_async_context(background("reconciler", reconciler.run))
    if settings.retention_days:
        retention = Retention(database, settings.retention_days, STATEMENTS)
        await stack.enter_async_context(background("retention", retention.run))
    await _open_metrics(settings, stack, database)
    return Services(
        inputs=Inputs(database),
        quota=Quota(database, policy),
        plans=Plans(database, generator, settlement),
        admission=admission,
        batches=Batches(database, admission),
        synchronous=Synchronous(admission, generator, settlement, settings.synchronous_seconds),
    )


async def _open_metrics(settings: Settings, stack: AsyncExitStack, database: Database) -> None:
    lag = LoopLag()
    metrics.LOOP_LAG.set_function(lambda: lag.milliseconds / 1000)
    await stack.enter_async_context(background("lag", lag.measure))
    await stack.enter_async_context(background("backlog", Backlog(database).run))
    await stack.enter_async_context(open_admin(settings.host, settings.admin_port))


async def _on_postgres_away(request: Request, error: Exception) -> Response:
    _log.warning("request.postgres_unavailable", method=request.method, path=request.url.path, error=repr(error))
    detail = "The database does not answer just now. Try again shortly."
    return problem_response(ApiError(ErrorCode.UNAVAILABLE, detail, retry_after=_RETRY_SECONDS))
