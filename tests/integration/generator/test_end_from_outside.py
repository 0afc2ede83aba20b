"""`POST /internal/plans/{planId}/cancel` of a plan that nobody has claimed."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from common.contracts.errors import ErrorCode
from common.generator_client import GeneratorClient, open_service_client
from common.server import Draining
from generator.app import create_app
from generator.settings import Settings
from testkit.secrecy import OPENROUTER_KEY, SERVICE_TOKEN
from testkit.serving import serving

TOKEN = SecretStr(SERVICE_TOKEN)


@pytest.mark.parametrize(
    ("said", "ended_as", "weeks"),
    [
        ({"weeks": 5}, "cancelled", 5),
        ({"weeks": 5, "code": ErrorCode.QUEUE_TIMEOUT}, "error", 5),
        ({}, "cancelled", 4),
    ],
)
async def test_the_row_has_the_weeks_that_the_caller_knows(
    migrated: Callable[[str], Awaitable[str]], said: dict[str, Any], ended_as: str, weeks: int
) -> None:
    """The gateway and plan-api say how long the plan was to be; without that it has the usual four."""
    settings = Settings(
        database_url=SecretStr(await migrated("generator")),
        nats_url=SecretStr("nats://127.0.0.1:1"),
        service_token=TOKEN,
        openrouter_api_key=SecretStr(OPENROUTER_KEY),
    )
    async with serving(create_app(settings, Draining())) as url, open_service_client(TOKEN) as client:
        generator, plan_id = GeneratorClient(client, (url,)), uuid4()
        ended = await generator.cancel(plan_id, uuid4(), **said)
        assert (ended.ended_as, ended.progress.weeks_total) == (ended_as, weeks)
        assert await generator.view(plan_id) == ended
