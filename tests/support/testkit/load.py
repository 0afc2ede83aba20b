"""The load of a fault run: live plans, and viewers that come late, break off, come back, cancel or go for good."""

import asyncio
import itertools
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID, uuid4

import aiohttp
import orjson

from local_stack import Stack
from testkit.history import PlanLog
from testkit.recorder import NETWORK_ERRORS, Recorder, now, until

PLANS_PER_USER: Final = 3


@dataclass(frozen=True, slots=True)
class Scale:
    """How much load.

    `spread` is over how many seconds the plans are started; each start is sent `twins` times at once; `roaming` is the
    share of later viewers that break off again and again; `clock_offset` is how many seconds the clients' clock is off,
    which they say in the header `Date`. A large plan has some 24,000 characters instead of 5,000.
    """

    plans: int = 30
    viewers: int = 60
    spread: float = 1.5
    cancels: int = 3
    abandons: int = 2
    twins: int = 1
    roaming: float = 0.5
    clock_offset: float = 0.0
    large: bool = False


@dataclass(slots=True)
class Plan:
    """One plan of the load; `log` is there once it was accepted."""

    number: int
    user_id: UUID
    key: str
    viewers: list[Recorder] = field(default_factory=list)
    log: PlanLog | None = None


class Load:
    """Use as a context: leaving it ends what still runs. Everything random comes from `rng`."""

    def __init__(self, stack: Stack, rng: random.Random, scale: Scale) -> None:
        self.plans: list[Plan] = []
        self.problems: list[str] = []
        self.admitted = 0
        self._gateways = stack.addresses.gateways
        self._rng = rng
        self._scale = scale
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, connect=5),
            read_bufsize=1 << 20,
            headers={"Date": formatdate(time.time() + scale.clock_offset, usegmt=True)} if scale.clock_offset else None,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        users = [uuid4() for _ in range(-(-self._scale.plans // PLANS_PER_USER))]
        self.plans = [
            Plan(number, users[number // PLANS_PER_USER], f"key-{number}") for number in range(self._scale.plans)
        ]
        preferences = dict(zip(users, await asyncio.gather(*map(self._inputs, users)), strict=True))
        ways = ["cancel"] * self._scale.cancels + ["abandon"] * self._scale.abandons
        ways += ["watch"] * (self._scale.plans - len(ways))
        self._rng.shuffle(ways)
        watched = [plan.number for plan, way in zip(self.plans, ways, strict=True) if way != "abandon"]
        more = Counter(itertools.islice(itertools.cycle(watched), self._scale.viewers - self._scale.plans))
        for plan, way in zip(self.plans, ways, strict=True):
            self._spawn(self._run(plan, preferences[plan.user_id], way, more[plan.number]))
        return self

    async def __aexit__(self, *_: "type[BaseException] | BaseException | TracebackType | None") -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._http.close()

    @property
    def accepted(self) -> list[PlanLog]:
        """The plans that were accepted so far."""
        return [plan.log for plan in self.plans if plan.log is not None]

    @property
    def viewers(self) -> list[Recorder]:
        """Everybody who watches, or has."""
        return [viewer for plan in self.plans for viewer in plan.viewers]

    @property
    def users(self) -> list[UUID]:
        """Whose plans these are."""
        return sorted({plan.user_id for plan in self.plans})

    def streaming(self) -> bool:
        """Whether every plan has been accepted and shown its first content."""
        return all(any(viewer.received > 3 or viewer.ended.is_set() for viewer in plan.viewers) for plan in self.plans)

    async def finish(self, seconds: float) -> None:
        """Wait until every viewer has ended; who has not in this time is left to the checker."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                self.problems.append(repr(error))

    def _spawn(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _inputs(self, user_id: UUID) -> str:
        hours = dict.fromkeys(self._rng.sample(["monday", "tuesday", "thursday", "friday"], 2), 1)
        body: dict[str, Any] = {"userId": str(user_id), "goals": "Sail to the islands"}
        if self._scale.large:
            body |= {"goals": ["Sail to the islands"] * 20, "ambition": "ambitious", "weeks": 5}
        else:
            body |= {"availableHours": hours, "weeks": 4}
        headers = {"X-User-Id": str(user_id)}
        url = f"{self._gateways[0]}/api/plan/inputs"
        async with self._http.post(url, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == 201, text
        preference_id: str = orjson.loads(text)["preferenceId"]
        return preference_id

    async def _run(self, plan: Plan, preference_id: str, way: str, others: int) -> None:
        await asyncio.sleep(self._rng.uniform(0, self._scale.spread))
        first = self._recorder(plan, 0)
        body = {"preferenceId": preference_id, "userId": str(plan.user_id)}
        reading = await self._start(plan, first, body, streamed=way == "abandon" or self._streams())
        assert plan.log is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(_stay(first, reading))
            if way == "abandon":
                group.create_task(self._abandon(plan.log, first))
                return
            for number in range(1, others + 1):
                mode = "snapshot" if self._rng.random() < 0.15 else None
                group.create_task(self._come(self._recorder(plan, number, plan.log.plan_id, mode)))
            if way == "cancel":
                group.create_task(self._cancel(plan.log))

    async def _start(
        self, plan: Plan, first: Recorder, body: dict[str, Any], *, streamed: bool
    ) -> "asyncio.Task[Any] | None":
        """Start with one key until it is certain; answers with the stream, if the answer was one."""
        path = "/api/streaming/generate-plan"
        headers = {"Idempotency-Key": plan.key, "X-User-Id": str(plan.user_id)}
        while True:
            if streamed:
                reading = asyncio.create_task(first.request("POST", path, headers=headers, json=body))
                await until(lambda: first.log.plan_id is not None or reading.done(), 60, "an answer to a start")  # noqa: B023
                if first.log.plan_id is not None:
                    plan.log = PlanLog(first.log.plan_id, plan.user_id, now())
                    return reading
            else:
                twins = (self._post(plan, first, path, headers, body) for _ in range(self._scale.twins))
                await asyncio.gather(*twins)
                if plan.log is not None:
                    return None
            await asyncio.sleep(self._rng.uniform(0.1, 0.5))

    def _streams(self) -> bool:
        return self._scale.twins == 1 and self._rng.random() < 0.5

    async def _post(
        self, plan: Plan, first: Recorder, path: str, headers: dict[str, str], body: dict[str, Any]
    ) -> None:
        gateway = self._rng.choice(self._gateways)
        timeout = aiohttp.ClientTimeout(total=10)
        asked = headers | {"Accept": "application/json"}
        try:
            async with self._http.post(gateway + path, json=body, headers=asked, timeout=timeout) as answer:
                text = await answer.text()
        except NETWORK_ERRORS:
            return
        if answer.status != 202:
            if answer.status != 503:
                self.problems.append(f"a start was answered {answer.status}: {text[:200]}")
            return
        self.admitted += 1
        plan_id = UUID(orjson.loads(text)["planId"])
        if plan.log is not None and plan.log.plan_id != plan_id:
            self.problems.append(f"one key made two plans: {plan.log.plan_id} and {plan_id}")
        first.log.plan_id = plan_id
        plan.log = PlanLog(plan_id, plan.user_id, now())

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
                self.problems.append(f"a cancel was answered {answer.status}: {text[:200]}")
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
