"""A synchronous call as a careful client makes it: with a key, and again until the answer is certain."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import aiohttp
import orjson

from testkit.history import Answer, CallLog
from testkit.recorder import NETWORK_ERRORS, now
from testkit.scripts import Script

# The plan, or how it failed. Anything else of these says nothing of the plan: the caller comes again.
CERTAIN: Final = frozenset({200, 500, 502, 504})
_COME_AGAIN: Final = frozenset({429, 503})
_PATIENCE_SECONDS: Final = 120.0


class Caller:
    """Makes one call, as `twins` identical requests at once, at any of the addresses."""

    def __init__(
        self,
        user_id: UUID,
        script: Script,
        urls: Sequence[str],
        headers: Mapping[str, str],
        http: aiohttp.ClientSession,
        rng: random.Random,
    ) -> None:
        self.log = CallLog(user_id)
        self.script = script
        self.problems: list[str] = []
        self._urls = urls
        self._headers = {**headers, "Idempotency-Key": "call"}
        self._http = http
        self._rng = rng

    async def call(self, preference_id: str, *, twins: int = 1, hangs_up: bool = False) -> None:
        """Call until it is certain what became of the plan; `hangs_up`: break the first connection off on the way."""
        body = {"preferenceId": preference_id, "userId": str(self.log.user_id)}
        await asyncio.gather(*(self._one(body, hangs_up=hangs_up) for _ in range(twins)))

    async def _one(self, body: dict[str, Any], *, hangs_up: bool) -> None:
        patience = self._rng.uniform(1, 4) if hangs_up else _PATIENCE_SECONDS
        while not await self._ask(body, patience):
            patience = _PATIENCE_SECONDS
            await asyncio.sleep(self._rng.uniform(0.1, 0.5))

    async def _ask(self, body: dict[str, Any], patience: float) -> bool:
        timeout = aiohttp.ClientTimeout(total=patience, connect=5)
        url = self._rng.choice(self._urls)
        try:
            async with self._http.post(url, json=body, headers=self._headers, timeout=timeout) as response:
                text = await response.text()
        except NETWORK_ERRORS:
            return False
        if response.status in _COME_AGAIN:
            return False
        if response.status not in CERTAIN:
            self.problems.append(f"a synchronous call was answered {response.status}: {text[:200]}")
            return True
        data = orjson.loads(text)
        plan_id = UUID(data["planId"]) if "planId" in data else None
        self.log.answers.append(Answer(now(), response.status, plan_id, data.get("plan"), data.get("code")))
        return True
