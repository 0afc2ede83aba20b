"""The load of a fault run: live plans, viewers that come late, break off, come back, cancel or go, and calls."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from email.utils import formatdate
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID, uuid4

import aiohttp
import orjson

from local_stack import Stack
from testkit.caller import Caller
from testkit.history import History, PlanLog
from testkit.recorder import NETWORK_ERRORS, Recorder, now
from testkit.scale import Scale
from testkit.scripts import Script, script
from testkit.starts import Plan, Starter

PLANS_PER_USER: Final = 3


class Load:
    """Use as a context: leaving it ends what still runs. Everything random comes from `rng`.

    The emulator must know the `scripts` when it begins.
    """

    def __init__(self, stack: Stack, rng: random.Random, scale: Scale) -> None:
        self._addresses = stack.addresses
        self._gateways = stack.addresses.gateways
        self._rng = rng
        self._scale = scale
        self._problems: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, connect=5),
            read_bufsize=1 << 20,
            headers={"Date": formatdate(time.time() + scale.clock_offset, usegmt=True)} if scale.clock_offset else None,
        )
        self._starter = Starter(self._gateways, self._http, rng, scale.twins)
        self.plans = self._plans()
        self.callers = [self._caller(number) for number in range(scale.calls)]

    async def __aenter__(self) -> Self:
        return self

    async def begin(self) -> None:
        """Store all inputs, and let everybody go."""
        watched = [plan.number for plan in self.plans if plan.way != "abandon"]
        more = Counter(itertools.islice(itertools.cycle(watched), self._scale.viewers - self._scale.plans))
        inputs = [self._inputs(plan.user_id, plan.script.goals) for plan in self.plans]
        inputs += [self._inputs(caller.log.user_id, caller.script.goals) for caller in self.callers]
        stored = iter(await asyncio.gather(*inputs))
        for plan in self.plans:
            self._spawn(self._run(plan, next(stored), more[plan.number]))
        for number, caller in enumerate(self.callers):
            self._spawn(self._call(caller, next(stored), hangs_up=number == 0))

    async def __aexit__(self, *_: "type[BaseException] | BaseException | TracebackType | None") -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._http.close()

    @property
    def accepted(self) -> list[PlanLog]:
        """The watched plans that were accepted so far."""
        return [plan.log for plan in self.plans if plan.log is not None]

    @property
    def admitted(self) -> int:
        """How many starts were answered with yes."""
        return self._starter.accepted

    @property
    def problems(self) -> list[str]:
        """What no invariant speaks of, and must not be."""
        return [*self._problems, *self._starter.problems, *(each for one in self.callers for each in one.problems)]

    @property
    def scripts(self) -> list[Script]:
        """Upstream's part in the plans, also in those of the calls."""
        return [plan.script for plan in self.plans] + [caller.script for caller in self.callers]

    def unplayed(self, history: History) -> list[str]:
        """What upstream was to do to plans and did not: a load without it shows nothing of it."""
        scripts = self._by_plan(history)
        return [
            f"{plan_id}: {what}" for plan_id, script in scripts.items() if (what := script.unplayed(plan_id, history))
        ]

    def paid_twice(self, history: History) -> list[str]:
        """Plans for which upstream wrote more often than once, and once more where it broke off; not for takeovers."""
        due = {plan_id: script.answers for plan_id, script in self._by_plan(history).items()}
        calls = Counter(answer.plan_id for answer in history.upstream)
        return [f"{plan_id}: {count} calls" for plan_id, count in calls.items() if count > due.get(plan_id, 1)]

    def _by_plan(self, history: History) -> dict[UUID, Script]:
        called = {row.user_id: row.plan_id for row in history.generations}
        scripts = {plan.log.plan_id: plan.script for plan in self.plans if plan.log is not None}
        return scripts | {called[one.log.user_id]: one.script for one in self.callers if one.log.user_id in called}

    @property
    def viewers(self) -> list[Recorder]:
        """Everybody who watches, or has."""
        return [viewer for plan in self.plans for viewer in plan.viewers]

    @property
    def users(self) -> list[UUID]:
        """Whose plans these are."""
        return sorted({plan.user_id for plan in self.plans} | {caller.log.user_id for caller in self.callers})

    def streaming(self) -> bool:
        """Whether every plan has been accepted and shown its first content."""
        return all(any(viewer.received > 3 or viewer.ended.is_set() for viewer in plan.viewers) for plan in self.plans)

    async def finish(self, seconds: float) -> None:
        """Wait until every viewer has ended; who has not in this time is left to the checker."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                self._problems.append(repr(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _plans(self) -> list[Plan]:
        scale = self._scale
        users = [uuid4() for _ in range(-(-scale.plans // PLANS_PER_USER))]
        # Upstream refuses at once, or after it has written something.
        refusals = list(itertools.islice(itertools.cycle(["refuse", "break, refuse"]), scale.fails))
        ways = ["cancel"] * scale.cancels + ["abandon"] * scale.abandons + ["break"] * scale.breaks + refusals
        ways += ["watch"] * (scale.plans - len(ways))
        self._rng.shuffle(ways)
        return [
            Plan(number, users[number // PLANS_PER_USER], way, self._script(way)) for number, way in enumerate(ways)
        ]

    def _script(self, way: str) -> Script:
        return script(f"Sail to the islands, voyage {self._rng.getrandbits(48):x}", way, self._rng)

    def _caller(self, number: int) -> Caller:
        """The frontend at a gateway, or another service at plan-api, in turns."""
        user_id, played = uuid4(), self._script(("", "break", "break, refuse")[number % 3])
        if number % 2:
            headers = {"Authorization": f"Bearer {self._addresses.service_token}"}
            urls = [f"{self._addresses.plan_api}/service/generate"]
        else:
            headers = {"X-User-Id": str(user_id)}
            urls = [f"{gateway}/api/plan/generate" for gateway in self._gateways]
        return Caller(user_id, played, urls, headers, self._http, self._rng)

    async def _inputs(self, user_id: UUID, goals: str) -> str:
        hours = dict.fromkeys(self._rng.sample(["monday", "tuesday", "thursday", "friday"], 2), 1)
        body: dict[str, Any] = {"userId": str(user_id), "goals": goals}
        if self._scale.large:
            body |= {"goals": [goals] * 20, "ambition": "ambitious", "weeks": 5}
        else:
            body |= {"availableHours": hours, "weeks": 4}
        headers = {"X-User-Id": str(user_id)}
        url = f"{self._gateways[0]}/api/plan/inputs"
        async with self._http.post(url, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == 201, text
        preference_id: str = orjson.loads(text)["preferenceId"]
        return preference_id

    async def _call(self, caller: Caller, preference_id: str, *, hangs_up: bool) -> None:
        await asyncio.sleep(self._rng.uniform(0, self._scale.spread))
        await caller.call(preference_id, twins=self._scale.twins, hangs_up=hangs_up)

    async def _run(self, plan: Plan, preference_id: str, others: int) -> None:
        await asyncio.sleep(self._rng.uniform(0, self._scale.spread))
        first = self._recorder(plan, 0)
        reading = await self._starter.start(plan, first, preference_id)
        assert plan.log is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(_stay(first, reading))
            if plan.way == "abandon":
                group.create_task(self._abandon(plan.log, first))
                return
            for number in range(1, others + 1):
                mode = "snapshot" if self._rng.random() < 0.15 else None
                group.create_task(self._come(self._recorder(plan, number, plan.log.plan_id, mode)))
            if plan.way == "cancel":
                group.create_task(self._cancel(plan.log))

    def _recorder(self, plan: Plan, number: int, plan_id: UUID | None = None, mode: str | None = None) -> Recorder:
        name = f"{plan.number}/{number}"
        viewer = Recorder(name, plan.user_id, plan_id, self._gateways, self._http, self._rng, mode)
        plan.viewers.append(viewer)
        return viewer

    async def _come(self, viewer: Recorder) -> None:
        """Come late, and half of the time break off again and again."""
        await asyncio.sleep(self._rng.uniform(0, 3))
        following = asyncio.create_task(viewer.follow())
        if self._rng.random() < self._scale.roaming:
            while not viewer.ended.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(viewer.ended.wait(), self._rng.uniform(0.3, 2))
                viewer.drop()
        await following

    async def _cancel(self, plan: PlanLog) -> None:
        await asyncio.sleep(self._rng.uniform(0, 8))
        while True:
            url = f"{self._rng.choice(self._gateways)}/api/streaming/cancel/{plan.plan_id}"
            asked_at = now()
            try:
                async with self._http.delete(url, headers={"X-User-Id": str(plan.user_id)}) as answer:
                    text = await answer.text()
            except NETWORK_ERRORS:
                await asyncio.sleep(0.2)
                continue
            if answer.status in (200, 202):
                plan.cancelled_at = asked_at
                return
            if answer.status != 503:
                self._problems.append(f"a cancel was answered {answer.status}: {text[:200]}")
                return
            await asyncio.sleep(0.2)

    async def _abandon(self, plan: PlanLog, only: Recorder) -> None:
        await asyncio.sleep(self._rng.uniform(1, 4))
        if not only.ended.is_set():
            plan.abandoned_at = now()
            await only.leave()


async def _stay(viewer: Recorder, reading: "asyncio.Task[Any] | None") -> None:
    if reading is not None:
        await reading
    await viewer.follow()
