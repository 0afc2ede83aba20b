"""Ctrl-C in the command, as a process of its own against a gateway that does with a cancel what the test says."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from testkit.serving import serving

COMMAND = str(Path(sys.executable).parent / "planstream")
SECONDS = 20.0
# Much less than the 30 s that the command waits for the answer to a cancel.
AT_ONCE = 5.0
INTERRUPTED, STOPPED = 130, 3
PLAN = str(uuid4())
ENDED = {"planId": PLAN, "attempt": 1, "seq": 1, "status": "partial", "plan": {}}


class Gateway:
    """One plan that is written until the test ends it."""

    def __init__(self) -> None:
        self.url = ""
        self.cancels = 0
        self.cancelled = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.over = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/api/streaming/events/{plan}", self._events),
                Route("/api/streaming/cancel/{plan}", self._cancel, methods=["DELETE"]),
            ]
        )

    async def _events(self, _: Request) -> Response:
        async def stream() -> AsyncIterator[str]:
            connected = {"planId": PLAN, "status": "generating", "phase": "streaming"}
            yield f"event: connected\ndata: {json.dumps(connected)}\n\n"
            await self.over.wait()
            yield f"event: cancelled\nid: 1.1\ndata: {json.dumps(ENDED)}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def _cancel(self, _: Request) -> Response:
        self.cancels += 1
        self.cancelled.set()
        await self.may_answer.wait()
        return JSONResponse({"code": "unavailable", "detail": "Try again shortly."}, 503)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """On a socket; in the end nobody waits for it any more."""
    made = Gateway()
    async with serving(made.app, lifespan="off") as made.url:
        yield made
        made.may_answer.set()
        made.over.set()


@pytest.fixture
async def watching(gateway: Gateway) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, which has been interrupted once: its cancel has arrived, and is not answered yet."""
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "--url", gateway.url, "--user", str(uuid4()), "--json", "watch", PLAN),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            assert process.stdout is not None
            assert json.loads(await process.stdout.readline())["event"] == "connected"
            process.send_signal(signal.SIGINT)
            await gateway.cancelled.wait()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_second_interrupt_leaves_at_once(gateway: Gateway, watching: asyncio.subprocess.Process) -> None:
    """While the first one's cancel is under way: 130, and not a word."""
    watching.send_signal(signal.SIGINT)
    out, errors = await asyncio.wait_for(watching.communicate(), AT_ONCE)
    assert (watching.returncode, out, errors) == (INTERRUPTED, b"", b"")
    assert gateway.cancels == 1


async def test_a_cancel_that_fails_is_told(gateway: Gateway, watching: asyncio.subprocess.Process) -> None:
    """In one sentence; the plan is watched on, to its end."""
    gateway.may_answer.set()
    assert watching.stderr is not None
    said = await asyncio.wait_for(watching.stderr.readline(), SECONDS)
    assert said.decode() == "planstream: the plan could not be stopped: Try again shortly. (unavailable)\n"
    gateway.over.set()
    out, errors = await asyncio.wait_for(watching.communicate(), SECONDS)
    assert (watching.returncode, json.loads(out)["event"], errors) == (STOPPED, "cancelled", b"")
