"""Whether the whole system does its work again."""

import asyncio
from uuid import uuid4

import httpx

from local_stack import Stack
from testkit.user import User

_PATIENCE_SECONDS = 60.0
# A start that was lost to the fault must not hold the measurement up; one that is merely slow gets more time.
_TRY_SECONDS = 3.0
_LONGEST_TRY_SECONDS = 15.0


async def healthy(stack: Stack, seconds: float = _PATIENCE_SECONDS) -> None:
    """Return once every service says that all it leans on is up, and a new plan shows its first words at each gateway.

    Raises:
        AssertionError: not within `seconds`.
    """
    addresses = stack.addresses
    async with httpx.AsyncClient(timeout=_TRY_SECONDS) as client:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(
                    *(_starts(gateway) for gateway in addresses.gateways),
                    *(_is_up(client, url) for url in (addresses.plan_api, *addresses.generators, *addresses.gateways)),
                )
        except TimeoutError:
            raise AssertionError(f"the system was not healthy after {seconds:.0f} s") from None


async def _is_up(client: httpx.AsyncClient, url: str) -> None:
    while True:
        try:
            answer = await client.get(f"{url}/readyz")
            if answer.is_success and set(answer.json()["dependencies"].values()) == {"up"}:
                return
        except httpx.HTTPError:
            # Not yet.
            pass
        await asyncio.sleep(0.05)


async def _starts(gateway: str) -> None:
    user_id, seconds = uuid4(), _TRY_SECONDS
    while True:
        try:
            async with asyncio.timeout(seconds), User.at(gateway, user_id) as user:
                viewer = user.viewer()
                await viewer.start(user.body(await user.inputs()), until=lambda event: event.name == "progress")
                assert viewer.plan_id is not None
                await user.cancel(viewer.plan_id)
                return
        except (httpx.HTTPError, AssertionError, TimeoutError):
            seconds = min(seconds * 1.5, _LONGEST_TRY_SECONDS)
            await asyncio.sleep(0.05)
