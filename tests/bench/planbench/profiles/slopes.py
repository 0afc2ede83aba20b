"""What doubling the work does to its cost: longer plans, more plans, more viewers, more stored plans."""

import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from planbench.profiles import plans
from planbench.profiles.stored_plans import fill
from planbench.rig import Rig

_PROBE_TOKENS = 170
_PROBE_RATE = 5000.0
_OWN_PLANS = 100


async def by_length(rig: Rig, count: int, lengths: list[int]) -> list[dict[str, Any]]:
    """CPU of a token against the length of the plan it belongs to."""
    return [_point(length, (await plans.measure(rig, count, length)).figures) for length in lengths]


async def by_plans(rig: Rig, counts: list[int], tokens: int) -> list[dict[str, Any]]:
    """CPU of a token against the number of plans."""
    return [_point(count, (await plans.measure(rig, count, tokens)).figures) for count in counts]


async def by_viewers(rig: Rig, count: int, viewers: list[int], tokens: int) -> list[dict[str, Any]]:
    """CPU of an event that a viewer gets, at the gateway, against the number of viewers."""
    return [_point(each, (await plans.measure(rig, count, tokens, each)).figures) for each in viewers]


def _point(at: int, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": at,
        "lost": figures["lost"],
        "cpuSeconds": round(sum(figures["steadyCpu"].values()) / figures["steadySeconds"], 4),
        "cpuPer1000Tokens": figures["cpuPer1000Tokens"]["all"],
        "gatewayUsPerEvent": round(figures["steadyCpu"]["gateway"] / figures["steadyEvents"] * 1e6, 2),
        "updatesPerSecond": figures["updatesPerSecond"],
        "eventBytes": figures["eventBytes"],
        "lagP50Ms": figures["lagMs"]["p50"],
        "lagP99Ms": figures["lagMs"]["p99"],
    }


async def by_rows(rig: Rig, sizes: list[int], probes: int) -> list[dict[str, Any]]:
    """Milliseconds of an admission, a status and a list against the plans that are stored in every slice."""
    await rig.source.pace(tokens=_PROBE_TOKENS, rate=_PROBE_RATE)
    user = uuid4()
    await fill(rig.stack.addresses.admin_url, _OWN_PLANS, user)
    points, stored = [], 0
    for size in sizes:
        rig.console.say(f"  filling up to {size:,} stored plans")
        await fill(rig.stack.addresses.admin_url, size - stored)
        stored = size
        points.append({"at": size, **await _probe(rig.stack.gateway, user, probes)})
    return points


async def _probe(gateway: str, user: UUID, probes: int) -> dict[str, float]:
    headers = {"X-User-Id": str(user), "Accept": "application/json"}
    times: dict[str, list[float]] = {"admission": [], "status": [], "list": []}
    async with aiohttp.ClientSession(gateway, headers=headers) as http:

        async def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
            async with http.request(method, path, json=body) as answer:
                answer.raise_for_status()
                return await answer.json()

        inputs = {"userId": str(user), "goals": "Read more", "weeks": 4}
        preference = (await ask("POST", "/api/plan/inputs", inputs))["preferenceId"]
        start = {"userId": str(user), "preferenceId": preference}
        for _ in range(probes):
            plan = await _timed(times["admission"], lambda: ask("POST", "/api/streaming/generate-plan", start))
            status = f"/api/streaming/status/{plan['planId']}"
            await _timed(times["status"], lambda: ask("GET", status))  # noqa: B023 - awaited at once
            await _timed(times["list"], lambda: ask("GET", "/api/plan/plans?limit=20"))
            while (await ask("GET", status))["status"] == "generating":
                pass
    return {f"{name}Ms": round(statistics.median(values) * 1000, 3) for name, values in times.items()}


async def _timed(times: list[float], work: Callable[[], Awaitable[Any]]) -> Any:
    began = time.perf_counter()
    answer = await work()
    times.append(time.perf_counter() - began)
    return answer
