"""The composition root: everything is opened here, and closed in the reverse order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from common.broker import open_broker
from common.contracts.errors import ErrorCode
from common.health import Dependencies, health_routes
from common.metrics import open_admin
from common.postgres import UNAVAILABLE, open_database
from common.problems import EXCEPTION_HANDLERS, ApiError, problem_response
from common.retention import Retention
from common.server import Draining
from common.tasks import background
from common.tracing import Traced
from generator import metrics
from generator.announcer import Announcer
from generator.control import ControlDesk
from generator.endpoints import Endpoints
from generator.fence_watch import FenceWatch
from generator.jobs import JobIntake
from generator.openrouter import OpenRouterConfig, OpenRouterService, new_session
from generator.pacing import Pacer
from generator.presence import PresenceMonitor
from generator.publisher import Publisher
from generator.queue_length import QueueLength
from generator.repository import CallRepository, PlanRepository, SaveRepository, ViewRepository
from generator.repository.retention import STATEMENTS
from generator.runs import Runs
from generator.saver import Saver
from generator.service import GenerationService, Parts
from generator.settings import Settings
from generator.sweeper import Sweeper
from generator.turns import Turns
from generator.usage import UsageRecorder

USAGE_SECONDS = 2.0


def openrouter_config(settings: Settings) -> OpenRouterConfig:
    """The settings as the client takes them."""
    return OpenRouterConfig(
        api_key=settings.openrouter_api_key,
        model=settings.openrouter_model,
        base_url=settings.openrouter_base_url,
        fallback_models=settings.fallback_models(),
        temperature=settings.openrouter_temperature,
        max_tokens=settings.openrouter_max_tokens,
        connect_seconds=settings.connect_seconds,
        first_data_seconds=settings.first_data_seconds,
        silence_seconds=settings.silence_seconds,
        completion_seconds=settings.streaming_timeout / 1000,
        max_output_chars=settings.max_output_chars,
        usage_lookup_seconds=settings.usage_lookup_seconds,
    )


async def _postgres_away(_: Request, __: Exception) -> Response:
    return problem_response(ApiError(ErrorCode.UNAVAILABLE, "The database does not answer now.", retry_after=2))


async def _close_at_drain(intake: JobIntake, draining: Draining) -> None:
    """No further job from the signal on: uvicorn shuts the lifespan down only after open requests have ended."""
    await draining.wait()
    intake.close()
    await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class _Generator:
    """What has been put together: the use cases, and the loops to keep running."""

    service: GenerationService
    intake: JobIntake
    recorder: UsageRecorder
    announcer: Announcer
    loops: Mapping[str, Callable[[], Awaitable[None]]]


async def _put_together(stack: AsyncExitStack, settings: Settings, dependencies: Dependencies) -> _Generator:
    """Open the connections, whose closings go to `stack`, and hang everything else on them."""
    database = await stack.enter_async_context(open_database(settings.database_url, "generator"))
    broker = await stack.enter_async_context(open_broker(settings.nats_url, "generator", settings.nats_options))
    dependencies.database, dependencies.broker = database, broker
    config = openrouter_config(settings)
    openrouter = OpenRouterService(await stack.enter_async_context(new_session(config)), config)
    owner = uuid4()
    saves = SaveRepository(database, owner)
    publisher = Publisher(broker)
    recorder = UsageRecorder(CallRepository(database), openrouter)
    runs = Runs(settings.generator_concurrency)
    saver = Saver(saves, runs)
    pacer = Pacer(settings.progress_interval_ms / 1000, saver.distrust)
    turns = Turns(lambda: pacer.interval)
    desk = ControlDesk(broker, publisher, turns, runs)
    presence = PresenceMonitor(broker, runs, pacer.hear)
    plans, views = PlanRepository(database, owner), ViewRepository(database)
    announcer = Announcer(broker, plans)
    service = GenerationService(
        Parts(settings, plans, views, saves, openrouter, recorder, publisher, announcer, turns, runs, saver, desk)
    )
    for callback in (saver.distrust, presence.outage_over, desk.connection_stands):
        broker.on_connect(callback)
    intake = JobIntake(broker, runs, service, settings.attempts)
    metrics.LIVE_PLANS.set_function(lambda: len(runs))
    metrics.INTERVAL.set_function(lambda: pacer.interval)
    metrics.LOOP_LAG.set_function(lambda: pacer.lag)
    await stack.enter_async_context(open_admin(settings.host, settings.admin_port))
    loops = {
        "connections": database.keep_warm,
        "publisher": publisher.run,
        "announcer": announcer.run,
        "usage": recorder.run,
        "pacer": pacer.run,
        "saver": saver.run,
        "fences": FenceWatch(database, runs.find, saver.soon).run,
        "control": desk.run,
        "presence": presence.run,
        "sweeper": Sweeper(saves, service, settings.attempts).run,
        "beats": intake.beat,
        "intake": intake.run,
        "queue": QueueLength(broker, metrics.JOBS_WAITING.set).run,
    }
    if settings.retention_days:
        loops["retention"] = Retention(database, settings.retention_days, STATEMENTS).run
    return _Generator(service, intake, recorder, announcer, loops)


def create_app(settings: Settings, draining: Draining) -> Starlette:
    """The application; its lifespan opens everything and closes it in reverse order."""
    dependencies = Dependencies()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            generator = await _put_together(stack, settings, dependencies)
            for name, loop in generator.loops.items():
                await stack.enter_async_context(background(name, loop))
            closing = partial(_close_at_drain, generator.intake, draining)
            await stack.enter_async_context(background("drain", closing))
            yield {"service": generator.service}
            generator.intake.close()
            await generator.service.drain(draining.left(settings.shutdown_seconds))
            await generator.announcer.flush()
            await generator.recorder.drain(USAGE_SECONDS)

    return Starlette(
        routes=[*health_routes(draining, dependencies.checks()), *Endpoints(settings).routes()],
        middleware=[Middleware(Traced)],
        exception_handlers={**EXCEPTION_HANDLERS, **dict.fromkeys(UNAVAILABLE, _postgres_away)},
        lifespan=lifespan,
    )
