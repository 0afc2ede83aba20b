"""The composition root: everything is opened here, and closed in the reverse order."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from common.broker import open_broker
from common.contracts.errors import ErrorCode
from common.health import health_routes
from common.postgres import UNAVAILABLE, open_database
from common.problems import EXCEPTION_HANDLERS, ApiError, problem_response
from common.server import Draining
from common.tasks import background
from generator.control import ControlDesk
from generator.endpoints import Endpoints
from generator.jobs import JobIntake
from generator.openrouter import OpenRouterConfig, OpenRouterService, new_session
from generator.pacing import Pacer
from generator.presence import PresenceMonitor
from generator.publisher import Publisher
from generator.repository import CallRepository, PlanRepository, SaveRepository, ViewRepository
from generator.runs import Runs
from generator.saver import Saver
from generator.service import GenerationService, Parts
from generator.settings import Settings
from generator.sweeper import Sweeper
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


def create_app(settings: Settings, draining: Draining) -> Starlette:
    """The generator as an ASGI application."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        owner = uuid4()
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(open_database(settings.database_url, "generator"))
            broker = await stack.enter_async_context(open_broker(settings.nats_url, "generator"))
            config = openrouter_config(settings)
            openrouter = OpenRouterService(await stack.enter_async_context(new_session(config)), config)
            saves = SaveRepository(database, owner)
            plans = PlanRepository(database, owner)
            publisher = Publisher(broker)
            recorder = UsageRecorder(CallRepository(database), openrouter)
            runs = Runs(settings.generator_concurrency)
            saver = Saver(saves, runs)
            pacer = Pacer(settings.progress_interval_ms / 1000, saver.distrust)
            desk = ControlDesk(broker, publisher, runs)
            presence = PresenceMonitor(broker, runs)
            service = GenerationService(
                Parts(
                    settings=settings,
                    plans=plans,
                    views=ViewRepository(database),
                    saves=saves,
                    openrouter=openrouter,
                    recorder=recorder,
                    publisher=publisher,
                    pacer=pacer,
                    runs=runs,
                    saver=saver,
                    desk=desk,
                )
            )
            for callback in (saver.distrust, presence.outage_over, desk.connection_stands):
                broker.on_connect(callback)
            intake = JobIntake(broker, runs, service, settings.attempts)
            loops = {
                "publisher": publisher.run,
                "usage": recorder.run,
                "pacer": pacer.run,
                "saver": saver.run,
                "control": desk.run,
                "presence": presence.run,
                "sweeper": Sweeper(saves, service, settings.attempts).run,
                "beats": intake.beat,
                "intake": intake.run,
            }
            for name, loop in loops.items():
                await stack.enter_async_context(background(name, loop))
            app.router.routes[:0] = Endpoints(service, settings).routes()
            app.router.routes[:0] = health_routes(
                draining, {"postgres": lambda: database.reachable, "nats": lambda: broker.connected}
            )
            await stack.enter_async_context(background("drain", partial(_close_at_drain, intake, draining)))
            yield
            intake.close()
            await service.drain(draining.left(settings.shutdown_seconds))
            await recorder.drain(USAGE_SECONDS)

    handlers: Mapping[Any, Any] = dict(EXCEPTION_HANDLERS) | dict.fromkeys(UNAVAILABLE, _postgres_away)
    return Starlette(lifespan=lifespan, exception_handlers=handlers)
