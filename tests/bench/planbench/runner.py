"""Runs the profiles one after another and collects what they say."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from local_stack import StackError
from planbench.cores import Cores
from planbench.floor import measure_floor
from planbench.histogram import Histogram
from planbench.machine import describe
from planbench.native import NativeError, Programs
from planbench.profiles import control, idle, memory, plans, proxied, slopes, viewers
from planbench.rig import RATE, Console, Rig, StretchError, open_rig
from planbench.scale import Scale
from planbench.spread import typical
from planbench.yardstick import event_cost

Results = dict[str, Any]
PROFILES = ("plans", "control", "proxied", "viewers", "idle", "slopes", "memory")
_COOL_SECONDS = 3.0
_BARE_STREAMS = 150
_BARE_EVENTS_PER_SECOND = 15.0
_BARE_BYTES = 380


class Bench:
    """One invocation; results grow profile by profile, and one that fails does not take the others with it."""

    def __init__(self, programs: Programs, cores: Cores, console: Console, scale: Scale) -> None:
        self.results: Results = {"machine": describe(cores), "profiles": {}}
        self.failed: list[str] = []
        self._yardsticks: list[Results] = []
        self._programs = programs
        self._cores = cores
        self._console = console
        self._scale = scale
        self._steps: Mapping[str, tuple[Mapping[str, str], Callable[[Rig], Awaitable[Any]]]] = {
            "plans": ({}, self._plans),
            "control": ({}, self._control),
            "proxied": ({}, self._proxied),
            "viewers": ({}, self._viewers),
            "idle": (idle.ENV, self._idle),
            "slopes": ({}, self._slopes),
            "memory": ({}, self._memory),
        }

    async def run(self, profiles: list[str]) -> None:
        """The floor, then these profiles, each on a stack of its own; the yardstick before each, and at the end.

        A machine that others use, too, is not as fast at one time as at another: the yardstick is to hear of that.
        """
        await self._floor()
        for name in profiles:
            if not self._scale.has(name):
                continue
            await self._yardstick()
            env, step = self._steps[name]
            self._console.say(f"{name} …")
            try:
                async with open_rig(self._programs, self._cores, self._console, env) as rig:
                    self.results["profiles"][name] = await step(rig)
            except (StackError, NativeError, StretchError) as error:
                self._console.say(f"{name} could not be measured: {error}")
                self.failed.append(name)
        await self._yardstick()

    async def _yardstick(self) -> None:
        self._console.say("yardstick: bare ASGI …")
        run = await event_cost(
            self._programs,
            self._cores,
            streams=_BARE_STREAMS,
            rate=_BARE_EVENTS_PER_SECOND,
            size=_BARE_BYTES,
            seconds=self._scale.yardstick_seconds,
        )
        self._yardsticks.append(run)
        self.results["yardstick"] = typical(self._yardsticks)

    async def _floor(self) -> None:
        self._console.say("floor: source to client …")
        self.results["floor"] = {
            str(streams): await measure_floor(
                self._programs, streams=streams, tokens=min(self._scale.tokens, 500), rate=RATE
            )
            for streams in self._scale.floors
        }

    async def _plans(self, rig: Rig) -> Results:
        # The first plan pays for what is loaded and compiled only once.
        await plans.measure(rig, 1, min(self._scale.tokens, 300))
        found: Results = {}
        for count in self._scale.plans:
            runs = []
            for _ in range(self._scale.runs):
                runs.append(await plans.measure(rig, count, self._scale.tokens))
                await asyncio.sleep(_COOL_SECONDS)
            lag = Histogram()
            for run in runs:
                lag = lag.plus(run.lag)
            found[str(count)] = {**typical([run.figures for run in runs]), "lagSteps": lag.steps()}
        return found

    async def _control(self, rig: Rig) -> Results:
        found: Results = {}
        for count in self._scale.control:
            found[str(count)] = await control.measure(rig, count, self._scale.tokens, self._scale.control_seconds)
            await asyncio.sleep(_COOL_SECONDS)
        return found

    async def _proxied(self, rig: Rig) -> Results:
        return await proxied.measure(rig, self._scale.proxied_calls)

    async def _viewers(self, rig: Rig) -> Results:
        scale = self._scale
        runs = [
            await viewers.measure(rig, scale.viewed_plans, scale.viewers, scale.viewed_tokens, scale.yardstick_seconds)
            for _ in range(scale.viewed_runs)
        ]
        return typical(runs)

    async def _idle(self, rig: Rig) -> Results:
        # Memory that only a first stream takes is not the idle ones'.
        await plans.measure(rig, 1, 300)
        return await idle.measure(rig, self._scale.idle_streams, self._scale.idle_seconds)

    async def _slopes(self, rig: Rig) -> Results:
        scale = self._scale
        few = scale.slope_plans[1] if len(scale.slope_plans) > 1 else 40
        found: Results = {
            "plans": await slopes.by_plans(rig, list(scale.slope_plans), scale.slope_tokens),
            "length": await slopes.by_length(rig, few, list(scale.slope_lengths)),
            "viewers": await slopes.by_viewers(rig, few, list(scale.slope_viewers), scale.slope_tokens),
        }
        if scale.rows:
            found["rows"] = await slopes.by_rows(rig, list(scale.rows), scale.row_probes)
        return found

    async def _memory(self, rig: Rig) -> Results:
        return await memory.measure(rig, self._scale.short_plans)
