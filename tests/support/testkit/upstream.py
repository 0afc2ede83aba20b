"""Upstream as a script, and what comes of a plan because of it: seen by its viewer, stored, paid, asked of upstream.

Each plan has goals and a user of its own, and the emulator tells plans apart by their goals: so any number of plans
can follow their scripts at the same time.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from local_stack import Stack
from testkit.upstream_cases import Calls, End, Outcome, pattern
from testkit.user import User
from testkit.viewer import Viewer

_LOOKUP_SECONDS = 2
# The pause before the first, the patience, jitter and the last try.
_LOOKED_UP = timedelta(seconds=2 * _LOOKUP_SECONDS + 2)

# Small deadlines and pauses, so that what upstream does is over soon; pass it to `open_stack`.
BRISK = {
    "FIRST_DATA_SECONDS": "1.5",
    "SILENCE_SECONDS": "1",
    "STREAMING_TIMEOUT": "15000",
    "RETRY_PAUSE_SECONDS": "0.05",
    "USAGE_LOOKUP_SECONDS": str(_LOOKUP_SECONDS),
    "MAX_OUTPUT_CHARS": "40000",
    "OPENROUTER_MODEL": "first/model",
    "OPENROUTER_FALLBACK_MODELS": "second/model",
    "EMULATOR_TTFT_SECONDS": "0.02",
    "EMULATOR_TOKENS_PER_SECOND": "2000",
    "EMULATOR_CHARS_PER_TOKEN": "24",
    "EMULATOR_GENERATION_DELAY_SECONDS": "0.1",
}

# So that the viewer is there before anything happens.
_ATTACH = {"headers_delay_seconds": 0.5}
# One hour a week makes a short plan.
_LITTLE_TIME = {"monday": 1.0}
_SETTLED_SECONDS = 15.0


class Upstream:
    """A running stack whose upstream plays scripts."""

    def __init__(self, stack: Stack, control: httpx.AsyncClient, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.stack = stack
        self._control = control
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def of(cls, stack: Stack) -> AsyncIterator["Upstream"]:
        """The upstream of a stack with the emulator."""
        async with (
            httpx.AsyncClient(base_url=f"{stack.addresses.emulator_control}/", timeout=30) as control,
            asyncpg.create_pool(stack.addresses.admin_url, min_size=1, max_size=4) as pool,
        ):
            yield cls(stack, control, pool)

    async def script(self, goals: str, calls: Sequence[Calls]) -> None:
        """Say how upstream answers the calls for these goals, one after the other."""
        for number, call in enumerate(calls):
            behaviour = _ATTACH | call.behaviour if number == 0 else call.behaviour
            match = {"prompt_contains": goals} | ({} if call.streamed is None else {"stream": call.streamed})
            rule = {"behaviour": behaviour, "match": match, "times": call.times}
            answer = await self._control.post("behaviours", json=rule)
            assert answer.is_success, answer.text

    async def scripted(self, user: User, calls: Sequence[Calls], **inputs: Any) -> dict[str, Any]:
        """Store inputs whose plan follows the script; answers with the body of a start."""
        goals = f"Behave {uuid4()}"
        await self.script(goals, calls)
        return user.body(await user.inputs(goals=goals, availableHours=_LITTLE_TIME, **inputs))

    async def play(self, calls: Sequence[Calls]) -> Outcome:
        """Start a plan of a new user's, follow it to its end, and see what is left of it."""
        async with User.at(self.stack.gateway) as user:
            viewer = user.viewer()
            await viewer.start(await self.scripted(user, calls))
            return await self.outcome(user, viewer)

    async def outcome(self, user: User, viewer: Viewer) -> Outcome:
        """A plan that has ended, as its viewer, the rows and the quota show it; `audit` adds upstream's side."""
        assert viewer.plan_id is not None
        assert viewer.end is not None, f"no end after {viewer.names}"
        outcome = await self.left(user, viewer.plan_id)
        data = viewer.end.data
        outcome.sees = pattern(viewer.received)
        outcome.end = replace(outcome.end, event=viewer.end.name, code=data.get("code"))
        outcome.usage = data.get("usage")
        outcome.folded = viewer.folded
        return outcome

    async def left(self, user: User, plan_id: UUID) -> Outcome:
        """What is left of a plan that nobody watched."""
        quota = await self.settled(user)
        stored = await user.plan(plan_id)
        return Outcome(
            plan_id=plan_id,
            sees="",
            end=End("", None, stored["status"], quota["used"]),
            generated=await self.generated(plan_id),
            ledger=await self.ledger(plan_id),
            plan=stored["plan"],
        )

    async def settled(self, user: User) -> dict[str, int]:
        """The user's account once nothing is reserved."""
        async with asyncio.timeout(_SETTLED_SECONDS):
            while (quota := await user.quota())["reserved"]:
                await asyncio.sleep(0.05)
        account: dict[str, int] = quota
        return account

    async def generated(self, plan_id: UUID) -> str:
        """The status in the generator's row."""
        query = "SELECT status FROM generator.monthly_plans WHERE plan_id = $1"
        return str(await self._pool.fetchval(query, plan_id))

    async def ledger(self, plan_id: UUID) -> str:
        """The quota's movements because of a plan."""
        query = "SELECT kind FROM plan_api.quota_ledger WHERE plan_id = $1 ORDER BY created_at"
        return " ".join([row["kind"] for row in await self._pool.fetch(query, plan_id)])

    async def audit(self, outcomes: Iterable[Outcome]) -> None:
        """Add what upstream was asked, and the usage rows once there is one for each call, looked up or given up."""
        asked = await self.requests()
        for outcome in (outcomes := list(outcomes)):
            outcome.requests = asked.get(str(outcome.plan_id), [])
        async with asyncio.timeout(_SETTLED_SECONDS):
            while True:
                for outcome in outcomes:
                    outcome.rows = await self.rows(outcome.plan_id)
                if all(len(outcome.rows) >= len(outcome.requests) for outcome in outcomes) and all(
                    _is_final(row) for outcome in outcomes for row in outcome.rows
                ):
                    return
                await asyncio.sleep(0.1)

    async def requests(self) -> dict[str, list[dict[str, Any]]]:
        """What upstream was asked, in order, for each session (which is a plan's id)."""
        answer = await self._control.get("requests", params={"limit": 1000})
        found: dict[str, list[dict[str, Any]]] = {}
        for entry in reversed(answer.json()["requests"]):
            found.setdefault(entry["session_id"], []).append(entry)
        return found

    async def answers(self, plan_id: UUID) -> list[dict[str, Any]]:
        """How upstream's answers for a plan ended, in order."""
        answer = await self._control.get("stats", params={"limit": 1000})
        newest_first = [entry for entry in answer.json()["generations"].values() if entry["session_id"] == str(plan_id)]
        return newest_first[::-1]

    async def rows(self, plan_id: UUID) -> list[dict[str, Any]]:
        """The usage rows of a plan, in the order of the calls."""
        query = "SELECT * FROM generator.upstream_calls WHERE plan_id = $1 ORDER BY started_at, id"
        return [dict(row) for row in await self._pool.fetch(query, plan_id)]


def _is_final(row: dict[str, Any]) -> bool:
    """Whether nothing will be looked up for this row any more."""
    if row["source"] == "provider" or row["generation_id"] is None:
        return True
    return bool(datetime.now(UTC) - row["ended_at"] > _LOOKED_UP)
