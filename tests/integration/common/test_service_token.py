"""A new service token is rolled out while every service goes on calling the others."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.generator_client import open_service_client
from common.problems import EXCEPTION_HANDLERS
from common.service_auth import accepted_tokens, require_service
from common.settings import ServiceSettings
from testkit.serving import serving

OLD, NEW = "the-old-token-of-the-services", "the-new-token-of-the-services"
# Who calls whom; the roll-out begins with those who are only called.
CALLS = {"gateway": ("plan-api", "generator"), "plan-api": ("generator",)}
ORDER = ("generator", "plan-api", "gateway")


@dataclass(frozen=True)
class Instance:
    """One process of a service: where it listens, and what it calls with."""

    url: str
    client: httpx.AsyncClient


async def _start(opened: AsyncExitStack, token: str, previous: str | None) -> Instance:
    given = {"port": 1, "database_url": "postgresql://x", "service_token": token, "service_token_previous": previous}
    settings = ServiceSettings.model_validate(given)
    tokens = accepted_tokens(settings)

    async def guarded(request: Request) -> Response:
        require_service(request, tokens)
        return Response()

    app = Starlette(routes=[Route("/internal", guarded)], exception_handlers=EXCEPTION_HANDLERS)
    url = await opened.enter_async_context(serving(app, lifespan="off"))
    return Instance(url, await opened.enter_async_context(open_service_client(settings.service_token)))


@pytest.mark.full
async def test_no_call_fails_while_the_token_is_changed() -> None:
    """Two of each service, replaced one by one, called ones first; then the old token is taken out the same way."""
    async with AsyncExitStack() as opened:
        running = {name: [await _start(opened, OLD, None) for _ in range(2)] for name in ORDER}
        await _all_call(running)
        for token, previous in ((NEW, OLD), (NEW, None)):
            for name in ORDER if previous else reversed(ORDER):
                for number in range(2):
                    running[name][number] = await _start(opened, token, previous)
                    await _all_call(running)
        assert await _call(OLD, running["generator"][0]) == 401
        assert await _call(NEW, running["generator"][0]) == 200


async def _all_call(running: dict[str, list[Instance]]) -> None:
    for caller, called in CALLS.items():
        for one in running[caller]:
            for other in (instance for name in called for instance in running[name]):
                assert (await one.client.get(f"{other.url}/internal")).status_code == 200


async def _call(token: str, instance: Instance) -> int:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        return (await client.get(f"{instance.url}/internal")).status_code
