"""The two compiled programs: the token source and the load client (their C is in `../native`)."""

import asyncio
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planbench.histogram import Histogram

NATIVE = Path(__file__).parents[1] / "native"
_FLAGS = ("-D_GNU_SOURCE", "-std=c11", "-O2", "-Wall", "-Wextra")
_SHARED = ("buffer.c", "histogram.c", "http.c")
_SOURCES = {
    "source": ("source.c", "completion.c", "due.c", "plan_text.c", *_SHARED),
    "client": ("client.c", "connection.c", "follow.c", "options.c", "report.c", "requests.c", "sse.c", *_SHARED),
}
_GRACE_SECONDS = 10.0


class NativeError(RuntimeError):
    """A program could not be compiled, or did not end as it should."""


def compiler() -> str | None:
    """The C compiler: $CC, or the system's."""
    return shutil.which(os.environ.get("CC") or "cc")


@dataclass(frozen=True, slots=True)
class Programs:
    """Both programs, compiled."""

    source: Path
    client: Path


def build(directory: Path) -> Programs:
    """Compile both.

    Raises:
        NativeError: there is no C compiler, or it refuses.
    """
    command = compiler()
    if command is None:
        raise NativeError(
            "The bench compiles its token source and its client: install a C compiler, or name one in CC."
        )
    directory.mkdir(parents=True, exist_ok=True)
    built = {}
    for name, files in _SOURCES.items():
        built[name] = directory / name
        words = [command, *_FLAGS, "-o", str(built[name]), *(str(NATIVE / file) for file in files)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NativeError(done.stderr)
    return Programs(**built)


class Source:
    """A running token source."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        """For OPENROUTER_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    async def stats(self) -> dict[str, Any]:
        """What it has sent so far."""
        return await self._get("/stats")

    async def pace(self, *, tokens: int, rate: float, hold: int = 0, comment: float = 0.5) -> None:
        """Of the streams that begin from now on; `comment`: seconds between two keep-alives."""
        await self._get(f"/pace?tokens={tokens}&rate={rate}&hold={hold}&comment={comment}")

    async def _get(self, path: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                value: dict[str, Any] = json.load(answer)
            return value

        return await asyncio.to_thread(ask)


@asynccontextmanager
async def running_source(programs: Programs, tokens: int, rate: float) -> AsyncIterator[Source]:
    """A source for as long as the context is open; it ends when its standard input does."""
    words = (str(programs.source), "--tokens", str(tokens), "--rate", str(rate))
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        first = await asyncio.wait_for(process.stdout.readline(), _GRACE_SECONDS)
        if not first:
            raise NativeError("the token source did not start")
        yield Source(json.loads(first)["port"])
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _GRACE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True)
class ClientResult:
    """What the client has counted: plain counts, and histograms by name."""

    counts: dict[str, int]
    histograms: dict[str, Histogram]
    seconds: float
    cpu_seconds: float

    @property
    def lost(self) -> int:
        """Everything that should not be: gaps, differing documents, missing or repeated ends, broken streams."""
        names = ("outOfOrder", "markersLost", "documentsDifferent", "repeatedEnds", "unfinished", "refused", "broken")
        return sum(self.counts[name] for name in (*names, "connectFailures", "failed"))


Second = Callable[[dict[str, Any]], None]


async def run_client(programs: Programs, on_second: Second | None = None, **options: float | str) -> ClientResult:
    """Run the client to its end; `options` are its command line (native/options.h), `on_second` hears of progress.

    Raises:
        NativeError: it crashed, or outlived its own deadline.
    """
    words = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    process = await asyncio.create_subprocess_exec(
        str(programs.client), *words, stdout=asyncio.subprocess.PIPE, limit=1 << 22
    )
    assert process.stdout is not None
    last: dict[str, Any] = {}
    try:
        async with asyncio.timeout(float(options.get("seconds", 60)) + _GRACE_SECONDS):
            async for line in process.stdout:
                last = json.loads(line)
                if on_second is not None and "second" in last:
                    on_second(last)
            await process.wait()
    except TimeoutError:
        raise NativeError("the client outlived its deadline") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not last.get("result"):
        raise NativeError(f"the client ended with {process.returncode} and no result")
    histograms = {name: Histogram.read(value) for name, value in last.items() if isinstance(value, dict)}
    counts = {name: value for name, value in last.items() if type(value) is int}
    return ClientResult(counts, histograms, last["seconds"], last["cpuSeconds"])
