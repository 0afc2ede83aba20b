"""Measuring the yardstick U: what one event costs an ASGI application that does nothing else, on the product's core."""

import asyncio
import json
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from planbench.cores import Cores, run_on
from planbench.native import Programs, run_client
from planbench.usage import cpu_seconds, memory_kib

_RAMP_PER_SECOND = 500.0
_SETTLE_SECONDS = 2.0
_END_SECONDS = 10.0


@asynccontextmanager
async def bare_server(cores: Cores) -> AsyncIterator[tuple[int, int]]:
    """The bare application on the product's core; gives its process id and its port."""
    run_on(cores.product)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "planbench.bare_asgi"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    finally:
        run_on(cores.load)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.pid, json.loads(await process.stdout.readline())["port"]
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def event_cost(
    programs: Programs, cores: Cores, *, streams: int, rate: float, size: int, seconds: float = 8.0
) -> dict[str, Any]:
    """Microseconds of CPU for one event of `size` bytes, with `streams` open that each get `rate` a second."""
    async with bare_server(cores) as (pid, port):
        ramp = streams / _RAMP_PER_SECOND + _SETTLE_SECONDS
        path = f"/events?size={size}&rate={rate}"
        client = asyncio.create_task(
            run_client(
                programs,
                mode="watch",
                port=port,
                path=path,
                starts=streams,
                rate=_RAMP_PER_SECOND,
                seconds=ramp + seconds + 1,
            )
        )
        await asyncio.sleep(ramp)
        before = cpu_seconds(pid), await _written(port)
        await asyncio.sleep(seconds)
        after = cpu_seconds(pid), await _written(port)
        await client
    events = after[1] - before[1]
    cost = (after[0] - before[0]) / events * 1e6
    return {"us": round(cost, 2), "events": events, "bytes": size, "streams": streams, "perSecond": round(rate, 2)}


async def idle_memory(programs: Programs, cores: Cores, streams: int) -> dict[str, Any]:
    """KiB for each idle stream."""
    async with bare_server(cores) as (pid, port):
        await _written(port)
        before = memory_kib(pid)
        ramp = streams / _RAMP_PER_SECOND + _SETTLE_SECONDS
        client = asyncio.create_task(
            run_client(
                programs,
                mode="watch",
                port=port,
                path="/events?size=300&rate=0",
                starts=streams,
                rate=_RAMP_PER_SECOND,
                seconds=ramp + _SETTLE_SECONDS,
            )
        )
        await asyncio.sleep(ramp)
        after = memory_kib(pid)
        result = await client
    assert result.counts["events"] == streams, "not every stream was opened"
    return {"kib": round((after - before) / streams, 2), "streams": streams}


async def _written(port: int) -> int:
    def ask() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=10) as answer:
            return int(json.load(answer)["events"])

    return await asyncio.to_thread(ask)
