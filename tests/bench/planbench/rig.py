"""What a profile runs on: the token source, the product on a core of its own, and the client beside the source."""

import asyncio
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack import Stack, running_stack
from planbench.cores import Cores, run_on, strays
from planbench.native import ClientResult, Programs, Source, run_client, running_source
from planbench.usage import Usage, read_usage

TOKENS = 1500
RATE = 50.0
# Limits that protect a user from himself would end a load that one machine makes.
_UNLIMITED = {
    "QUOTA_PLANS_PER_MONTH": "0",
    "MAX_RUNNING_PLANS_PER_USER": "0",
    "MAX_STREAMS_PER_USER": "0",
    "REQUESTS_PER_MINUTE_PER_USER": "0",
    "LOG_LEVEL": "warning",
}
# A file system in memory, so that the disk is not what is measured; None: the usual place.
_MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


class StretchError(RuntimeError):
    """A run was over before the stretch that was to be measured."""


class Console:
    """One line of progress that is written over, on standard error."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """A line that stays."""
        print(f"\r\x1b[K{text}" if self._live else text, file=sys.stderr, flush=True)

    def tick(self, label: str, line: Mapping[str, Any]) -> None:
        """How a run stands; without a terminal only every ten seconds."""
        text = f"  {label}: {line['second']} s, {line['started']} started, {line['ended']} ended, {line['texts']} texts"
        if self._live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif line["second"] % 10 == 9:
            print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a run: what processes have used, and what the source has sent."""

    usage: Usage
    tokens: int
    updates: int


@dataclass(frozen=True, slots=True)
class Span:
    """What lies between two marks."""

    seconds: float
    tokens: int
    updates: int
    """Progress events that viewers have read; of a whole run the client's own count is the one to take."""
    cpu: dict[str, float]

    @classmethod
    def between(cls, before: Mark, after: Mark) -> "Span":
        """From one moment to a later one."""
        cpu = after.usage.since(before.usage)
        seconds = after.usage.at - before.usage.at
        return cls(seconds, after.tokens - before.tokens, after.updates - before.updates, cpu)

    @property
    def cpu_per_1000_tokens(self) -> dict[str, float]:
        """CPU seconds by process name, and of all together."""
        each = {name: seconds * 1000 / max(self.tokens, 1) for name, seconds in self.cpu.items()}
        return {name: round(value, 5) for name, value in {**each, "all": sum(each.values())}.items()}

    @property
    def busy(self) -> dict[str, float]:
        """Share of one core by process name, and of all together."""
        each = {name: seconds / self.seconds for name, seconds in self.cpu.items()}
        return {name: round(value, 4) for name, value in {**each, "all": sum(each.values())}.items()}


@dataclass(frozen=True, slots=True)
class Observation:
    """One run of the client: its counts, and the CPU of the product over all of it and over its steady middle."""

    client: ClientResult
    whole: Span
    middle: Span | None

    @property
    def steady(self) -> Span:
        """The steady middle.

        Raises:
            StretchError: the client had ended before it was over.
        """
        if self.middle is None:
            raise StretchError("the client ended before its steady stretch did")
        return self.middle


@dataclass(slots=True)
class Rig:
    """All that runs."""

    programs: Programs
    cores: Cores
    console: Console
    source: Source
    stack: Stack

    @property
    def gateway_port(self) -> int:
        """Where the client connects to."""
        return int(self.stack.gateway.rpartition(":")[2])

    async def mark(self, line: Mapping[str, Any] | None = None) -> Mark:
        """The present moment; `line` is what the client has just said of it."""
        usage = read_usage(self.stack.pids)
        stats = await self.source.stats()
        return Mark(usage, stats["tokens"], line["updates"] if line else 0)

    async def observe(
        self,
        label: str,
        steady: tuple[float, float] | None = None,
        also: Callable[[Mapping[str, Any]], None] | None = None,
        opened: int = 0,
        **options: float | str,
    ) -> Observation:
        """Run the client against the gateway; `steady` is from when to when, in whole seconds after its start.

        Args:
            label: what the run is called where its progress is shown.
            steady: the stretch whose CPU is told by itself.
            also: hears what the client says every second.
            opened: the steady stretch does not begin before so many plans have had their first event.
            options: the client's (native/options.h).
        """
        marks: list[asyncio.Task[Mark]] = []
        before = await self.mark()

        def on_second(line: dict[str, Any]) -> None:
            self.console.tick(label, line)
            if also is not None:
                also(line)
            if steady is None or len(marks) == 2:
                return
            if line["second"] >= int(steady[len(marks)]) and (marks or line["opened"] >= opened):
                marks.append(asyncio.create_task(self.mark(line)))

        marked = (await self.source.stats())["planMarked"]
        client = await run_client(self.programs, on_second, port=self.gateway_port, marked=marked, **options)
        after = await self.mark()
        middle = Span.between(*[await mark for mark in marks]) if len(marks) == 2 else None
        return Observation(client, Span.between(before, after), middle)


@asynccontextmanager
async def open_rig(
    programs: Programs, cores: Cores, console: Console, env: Mapping[str, str] | None = None
) -> AsyncIterator[Rig]:
    """A source and a fresh stack that takes its tokens from it; both are ended with the context."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with AsyncExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="planstream-bench-", dir=_MEMORY))
        run_on(cores.load)
        source = await opened.enter_async_context(running_source(programs, TOKENS, RATE))
        settings = {**_UNLIMITED, "OPENROUTER_BASE_URL": source.url, "OPENROUTER_API_KEY": "bench", **(env or {})}
        run_on(cores.product)
        try:
            stack = await opened.enter_async_context(running_stack(Path(folder) / "stack", settings))
        finally:
            run_on(cores.load)
        assert not strays(list(stack.pids.values()), cores.product), "a process of the product runs on another core"
        yield Rig(programs, cores, console, source, stack)
