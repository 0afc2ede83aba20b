"""The composition root: what is opened, in which order, and which route leads where."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from common import health
from common.broker import open_broker
from common.generator_client import GeneratorClient, open_service_client
from common.lag import LoopLag
from common.metrics import open_admin
from common.postgres import open_database
from common.problems import EXCEPTION_HANDLERS
from common.retention import Retention
from common.server import Draining, LastWord
from common.tasks import background
from common.tracing import Traced
from stream_gateway import endpoints, metrics
from stream_gateway.abandoned_cancels import AbandonedCancels
from stream_gateway.answer_headers import AnswerHeaders
from stream_gateway.attach import Line
from stream_gateway.auth import Authenticator, DevAuthenticator, FrontDoor, JwtAuthenticator
from stream_gateway.auth.issuer_keys import IssuerKeys, open_jwks
from stream_gateway.auth.session_cookie import SessionCookie
from stream_gateway.auth.tokens import SharedSecret
from stream_gateway.batch_routes import batch_routes
from stream_gateway.batches import Batches
from stream_gateway.cancel import Canceller
from stream_gateway.cors import Cors
from stream_gateway.description import description_routes
from stream_gateway.erasure import Erasure
from stream_gateway.hub import Hub
from stream_gateway.journal import Journal
from stream_gateway.owned_tasks import owned_tasks
from stream_gateway.ownership import Ownership
from stream_gateway.page_routes import page_routes
from stream_gateway.plan_api import PlanApi
from stream_gateway.proxy import Proxy
from stream_gateway.rate_limit import RateLimit
from stream_gateway.repository import Repository
from stream_gateway.repository.retention import STATEMENTS
from stream_gateway.services import Services
from stream_gateway.session_routes import session_routes
from stream_gateway.sessions import Sessions, close_streams_on
from stream_gateway.settings import Settings
from stream_gateway.socket_routes import socket_routes
from stream_gateway.status import StatusReader
from stream_gateway.stream_response import StreamLimits
from stream_gateway.watchdog import Watchdog

# Beyond what plan-api itself waits for the synchronous call, which is 35 seconds more than STREAMING_TIMEOUT.
SYNCHRONOUS_MARGIN_SECONDS = 40


class Dependencies(health.Dependencies):
    """What readiness tells of; with keys that are fetched, the issuer of tokens as well."""

    def __init__(self, *, has_issuer: bool = False) -> None:
        super().__init__()
        self.keys: IssuerKeys | None = None
        self._has_issuer = has_issuer

    def checks(self) -> Mapping[str, health.Check]:
        """By name: whether it is there."""
        issuer: dict[str, health.Check] = {"issuer": lambda: self.keys is not None and self.keys.usable}
        return {**super().checks(), **(issuer if self._has_issuer else {})}


def create_app(settings: Settings, draining: Draining) -> ASGIApp:
    """The application; nothing is opened before its lifespan begins."""
    dependencies = Dependencies(has_issuer=settings.auth_mode == "jwt" and settings.jwt_jwks_url is not None)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as opened:
            yield {"services": await open_services(settings, draining, opened, dependencies)}

    app = Starlette(
        routes=route_table(settings, draining, dependencies),
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    # A redirect would be built from the Host header, and no path here ends in a slash.
    app.router.redirect_slashes = False
    return AnswerHeaders(LastWord(Traced(app)), Cors(settings.allowed_origins))


def route_table(settings: Settings, draining: Draining, dependencies: Dependencies) -> list[BaseRoute]:
    """Every route, and which handler it leads to."""
    return [
        *endpoints.routes(),
        *batch_routes(),
        *socket_routes(),
        *session_routes(SessionCookie(loopback=settings.listens_on_loopback)),
        *health.health_routes(draining, dependencies.checks()),
        *page_routes(),
        *description_routes(),
    ]


async def open_services(
    settings: Settings, draining: Draining, opened: AsyncExitStack, dependencies: Dependencies
) -> Services:
    """Open everything; `opened` closes it in the reverse order."""
    database = await opened.enter_async_context(open_database(settings.database_url, "stream-gateway", size=5))
    broker = await opened.enter_async_context(open_broker(settings.nats_url, "stream-gateway", settings.nats_options))
    client = await opened.enter_async_context(open_service_client(settings.service_token))
    dependencies.database, dependencies.broker = database, broker
    door = await _open_door(settings, opened, dependencies)
    repository = Repository(database)
    journal = Journal(repository)
    opened.push_async_callback(journal.close)
    await opened.enter_async_context(background("connections", database.keep_warm))
    await opened.enter_async_context(background("journal", journal.run))
    lag = LoopLag()
    await opened.enter_async_context(background("lag", lag.measure))
    tasks = await opened.enter_async_context(owned_tasks())
    generators = GeneratorClient(client, settings.generator_urls)
    hub = Hub(Line(broker, generators, tasks, lag))
    await opened.enter_async_context(background("watchdog", Watchdog(hub, broker, generators).run))
    limits = StreamLimits(settings.sse_heartbeat_seconds, settings.max_stream_age_seconds)
    sessions = Sessions(hub, journal, limits, settings.max_streams_per_user, draining)
    await opened.enter_async_context(close_streams_on(draining, sessions))
    plan_api = PlanApi(client, settings.plan_api_url)
    canceller = Canceller(broker, generators, plan_api, hub, journal, tasks)
    await opened.enter_async_context(background("erasure", Erasure(repository).run))
    # Until the last of its own has ended, it tells the others that they are in good hands.
    await opened.enter_async_context(background("abandoned cancels", AbandonedCancels(repository, canceller).run))
    if settings.retention_days:
        retention = Retention(database, settings.retention_days, STATEMENTS)
        await opened.enter_async_context(background("retention", retention.run))
    _show(hub, sessions, lag)
    await opened.enter_async_context(open_admin(settings.host, settings.admin_port))
    # The first to close: what it waits for needs all of the others.
    opened.push_async_callback(lambda: canceller.finish(draining.left(settings.shutdown_seconds)))
    ownership = Ownership(repository, plan_api, journal, hub.advanced_at, asyncio.get_running_loop().time)
    seconds = settings.streaming_timeout / 1000 + SYNCHRONOUS_MARGIN_SECONDS
    return Services(
        door=door,
        plan_api=plan_api,
        ownership=ownership,
        batches=Batches(plan_api, ownership, canceller),
        sessions=sessions,
        canceller=canceller,
        statuses=StatusReader(broker, generators, ownership),
        proxy=Proxy(plan_api, door, seconds, (ownership.forget, hub.forget), ownership.remembered),
    )


def _show(hub: Hub, sessions: Sessions, lag: LoopLag) -> None:
    metrics.OPEN_STREAMS.set_function(lambda: len(sessions))
    metrics.WATCHED_PLANS.set_function(lambda: len(hub))
    metrics.LOOP_LAG.set_function(lambda: lag.milliseconds / 1000)


async def _open_door(settings: Settings, opened: AsyncExitStack, dependencies: Dependencies) -> FrontDoor:
    way = await _authenticator(settings, opened, dependencies)
    cookie = SessionCookie(loopback=settings.listens_on_loopback)
    return FrontDoor(way, settings.allowed_origins, cookie, RateLimit(settings.requests_per_minute_per_user))


async def _authenticator(settings: Settings, opened: AsyncExitStack, dependencies: Dependencies) -> Authenticator:
    """The way that the settings name."""
    if settings.auth_mode == "dev":
        return DevAuthenticator()
    assert settings.jwt_issuer is not None
    assert settings.jwt_audience is not None
    if settings.jwt_secret is not None:
        secret = SharedSecret(settings.jwt_secret.get_secret_value())
        return JwtAuthenticator(secret, settings.jwt_issuer, settings.jwt_audience)
    assert settings.jwt_jwks_url is not None
    keys = IssuerKeys(await opened.enter_async_context(open_jwks(settings.jwt_jwks_url)))
    await opened.enter_async_context(background("issuer keys", keys.run))
    dependencies.keys = keys
    return JwtAuthenticator(keys, settings.jwt_issuer, settings.jwt_audience)
