"""Starting a plan with a key of its own, again and again until it is certain."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import aiohttp
import orjson

from testkit.history import PlanLog
from testkit.recorder import NETWORK_ERRORS, Recorder, now, until
from testkit.scripts import Script

_PATH: Final = "/api/streaming/generate-plan"


@dataclass(slots=True)
class Plan:
    """One plan of the load, and which way it goes; `log` is there once it was accepted."""

    number: int
    user_id: UUID
    way: str
    script: Script
    viewers: list[Recorder] = field(default_factory=list)
    log: PlanLog | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Who starts it, and its key."""
        return {"Idempotency-Key": f"key-{self.number}", "X-User-Id": str(self.user_id)}


class Starter:
    """Starts plans at any of the gateways; a start that is not streamed is sent `twins` times at once.

    `accepted` counts the answers that said yes, `problems` tells of those that are no answer to a start.
    """

    def __init__(self, gateways: Sequence[str], http: aiohttp.ClientSession, rng: random.Random, twins: int) -> None:
        self.accepted = 0
        self.problems: list[str] = []
        self._gateways = gateways
        self._http = http
        self._rng = rng
        self._twins = twins

    async def start(self, plan: Plan, first: Recorder, preference_id: str) -> "asyncio.Task[Any] | None":
        """Start until it is certain; answers with the stream, if the answer was one."""
        body = {"preferenceId": preference_id, "userId": str(plan.user_id)}
        # A plan is only given up for want of viewers when its starter is one.
        streamed = plan.way == "abandon" or (self._twins == 1 and self._rng.random() < 0.5)
        while True:
            if streamed:
                reading = asyncio.create_task(first.request("POST", _PATH, headers=plan.headers, json=body))
                await until(lambda: first.log.plan_id is not None or reading.done(), 60, "an answer to a start")  # noqa: B023
                if first.log.plan_id is not None:
                    plan.log = PlanLog(first.log.plan_id, plan.user_id, now())
                    return reading
            else:
                await asyncio.gather(*(self._post(plan, first, body) for _ in range(self._twins)))
                if plan.log is not None:
                    return None
            await asyncio.sleep(self._rng.uniform(0.1, 0.5))

    async def _post(self, plan: Plan, first: Recorder, body: dict[str, Any]) -> None:
        url = self._rng.choice(self._gateways) + _PATH
        headers = plan.headers | {"Accept": "application/json"}
        timeout = aiohttp.ClientTimeout(total=10)
        try:
            async with self._http.post(url, json=body, headers=headers, timeout=timeout) as answer:
                text = await answer.text()
        except NETWORK_ERRORS:
            return
        if answer.status != 202:
            if answer.status != 503:
                self.problems.append(f"a start was answered {answer.status}: {text[:200]}")
            return
        self.accepted += 1
        plan_id = UUID(orjson.loads(text)["planId"])
        if plan.log is not None and plan.log.plan_id != plan_id:
            self.problems.append(f"one key made two plans: {plan.log.plan_id} and {plan_id}")
        first.log.plan_id = plan_id
        plan.log = PlanLog(plan_id, plan.user_id, now())
