"""What the gateway adds to a call that it passes on to plan-api: the same question both ways, in turns."""

import statistics
import time
from typing import Any
from uuid import uuid4

import aiohttp

from planbench.rig import Rig

_PATH = "/api/plan/quota"
_WARMING_UP = 50


async def measure(rig: Rig, probes: int) -> dict[str, Any]:
    """Milliseconds of so many calls each way, one at a time, with nothing else going on."""
    user = str(uuid4())
    token = rig.stack.addresses.service_token
    direct: list[float] = []
    through: list[float] = []
    async with (
        aiohttp.ClientSession(
            rig.stack.addresses.plan_api, headers={"X-User-Id": user, "Authorization": f"Bearer {token}"}
        ) as plan_api,
        aiohttp.ClientSession(rig.stack.gateway, headers={"X-User-Id": user}) as gateway,
    ):
        for number in range(_WARMING_UP + probes):
            times = await _timed(plan_api), await _timed(gateway)
            if number >= _WARMING_UP:
                direct.append(times[0])
                through.append(times[1])
    at_plan_api, at_gateway = _milliseconds(direct), _milliseconds(through)
    return {
        "calls": probes,
        "directMs": at_plan_api,
        "throughMs": at_gateway,
        "addedP50Ms": round(at_gateway["p50"] - at_plan_api["p50"], 3),
    }


async def _timed(session: aiohttp.ClientSession) -> float:
    began = time.perf_counter()
    async with session.get(_PATH) as answer:
        answer.raise_for_status()
        await answer.read()
    return time.perf_counter() - began


def _milliseconds(times: list[float]) -> dict[str, float]:
    hundredths = statistics.quantiles(times, n=100)
    return {name: round(hundredths[at - 1] * 1000, 3) for name, at in (("p50", 50), ("p90", 90), ("p99", 99))}
