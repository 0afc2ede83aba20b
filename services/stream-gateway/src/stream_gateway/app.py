"""The composition root: what is opened, in which order, and which route leads where."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.broker import Broker, open_broker
from common.generator_client import GeneratorClient, open_service_client
from common.health import health_routes
from common.postgres import Database, open_database
from common.problems import EXCEPTION_HANDLERS
from common.server import Draining
from common.settings import split_urls
from common.tasks import background
from stream_gateway.attach import Line
from stream_gateway.auth import authenticator
from stream_gateway.cancel import Canceller
from stream_gateway.endpoints import Endpoints
from stream_gateway.hub import Hub, close_streams_on
from stream_gateway.journal import Journal
from stream_gateway.lag import LoopLag
from stream_gateway.owned_tasks import owned_tasks
from stream_gateway.ownership import Ownership
from stream_gateway.page_routes import page_routes
from stream_gateway.plan_api import PlanApi
from stream_gateway.proxy import METHODS, Proxy
from stream_gateway.repository import Repository
from stream_gateway.sessions import Sessions
from stream_gateway.settings import Settings
from stream_gateway.status import StatusReader
from stream_gateway.stream_response import StreamLimits
from stream_gateway.watchdog import Watchdog

# Beyond what plan-api itself waits for the synchronous call, which is 35 seconds more than STREAMING_TIMEOUT.
SYNCHRONOUS_MARGIN_SECONDS = 40

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Gateway:
    """What is open while the service runs."""

    broker: Broker
    database: Database
    endpoints: Endpoints
    proxy: Proxy


@asynccontextmanager
async def open_gateway(settings: Settings, draining: Draining) -> AsyncIterator[Gateway]:
    """Open everything; closed in the reverse order."""
    async with AsyncExitStack() as opened:
        database = await opened.enter_async_context(open_database(settings.database_url, "stream-gateway", size=5))
        broker = await opened.enter_async_context(open_broker(settings.nats_url, "stream-gateway"))
        client = await opened.enter_async_context(open_service_client(settings.service_token))
        repository = Repository(database)
        journal = Journal(repository)
        opened.push_async_callback(journal.close)
        await opened.enter_async_context(background("journal", journal.run))
        lag = LoopLag()
        await opened.enter_async_context(background("lag", lag.measure))
        tasks = await opened.enter_async_context(owned_tasks())
        generators = GeneratorClient(client, split_urls(settings.generator_urls))
        hub = Hub(Line(broker, generators, tasks, lag))
        await opened.enter_async_context(background("watchdog", Watchdog(hub, broker, generators).run))
        await opened.enter_async_context(close_streams_on(draining, hub))
        canceller = Canceller(broker, generators, hub, journal, tasks)
        # The first to close: what it waits for needs all of the others.
        opened.push_async_callback(lambda: canceller.finish(draining.left(settings.shutdown_seconds)))
        plan_api = PlanApi(client, settings.plan_api_url)
        ownership = Ownership(repository, plan_api, journal)
        ways = authenticator(settings)
        limits = StreamLimits(settings.sse_heartbeat_seconds, settings.max_stream_age_seconds)
        endpoints = Endpoints(
            authenticator=ways,
            plan_api=plan_api,
            ownership=ownership,
            sessions=Sessions(hub, journal, limits, settings.max_streams_per_user, draining),
            canceller=canceller,
            statuses=StatusReader(broker, generators, ownership),
        )
        forgetters = (ownership.forget, hub.forget)
        proxy = Proxy(plan_api, ways, settings.streaming_timeout / 1000 + SYNCHRONOUS_MARGIN_SECONDS, forgetters)
        yield Gateway(broker, database, endpoints, proxy)


def create_app(settings: Settings, draining: Draining) -> Starlette:
    """The application; nothing is opened before its lifespan begins."""
    opened: list[Gateway] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with open_gateway(settings, draining) as gateway:
            opened.append(gateway)
            yield
            opened.clear()

    def to(pick: Callable[[Gateway], Handler]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            return await pick(opened[0])(request)

        return handle

    checks = {
        "nats": lambda: opened[0].broker.connected,
        "postgres": lambda: opened[0].database.reachable,
    }
    streaming = "/api/streaming"
    routes = [
        Route(f"{streaming}/generate-plan", to(lambda gateway: gateway.endpoints.start), methods=["POST"]),
        Route(f"{streaming}/events/{{plan_id}}", to(lambda gateway: gateway.endpoints.events), methods=["GET"]),
        Route(f"{streaming}/status/{{plan_id}}", to(lambda gateway: gateway.endpoints.status), methods=["GET"]),
        Route(f"{streaming}/cancel/{{plan_id}}", to(lambda gateway: gateway.endpoints.cancel), methods=["DELETE"]),
        Route("/api/plan/{path:path}", to(lambda gateway: gateway.proxy), methods=METHODS),
        *health_routes(draining, checks),
        *page_routes(),
    ]
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS, lifespan=lifespan)
    # A redirect would be built from the Host header, and no path here ends in a slash.
    app.router.redirect_slashes = False
    return app
