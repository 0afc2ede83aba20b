"""The response of one viewer, without a server: how it ends, and what a client costs it that takes nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Scope

from common.http_protocol import EXTENSION
from stream_gateway.cursor import Cursor
from stream_gateway.feed import PlanFeed
from stream_gateway.frame import Frame, as_sse
from stream_gateway.stream_response import EventStream, StreamLimits
from stream_gateway.viewer import Reason, Viewer

SECONDS = 2.0


class Plan:
    """Counts how often its state is encoded."""

    at = Cursor(1, 0)

    def __init__(self) -> None:
        self.encoded = 0

    def snapshot(self) -> Frame:
        """The state."""
        self.encoded += 1
        return Frame("snapshot", b"{}", self.at)


class Client:
    """The other end: takes so many messages, then nothing; goes when it is told to."""

    def __init__(self, takes: int) -> None:
        self.state: dict[object, object] = {"stalled": False}
        self.scope: Scope = {"type": "http", "extensions": {EXTENSION: self.state}}
        self.taken: list[Message] = []
        self.full = asyncio.Event()
        self._takes = takes
        self._gone = asyncio.Event()

    def lose(self, *, stalled: bool) -> None:
        """The connection is lost, as a server has it: every wait for it ends."""
        self.state["stalled"] = stalled
        self._gone.set()

    async def receive(self) -> dict[str, Any]:
        """Nothing comes from it but its going."""
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take it, or wait as a full buffer does."""
        if len(self.taken) == self._takes:
            self.full.set()
            await self._gone.wait()
            return
        self.taken.append(message)


def _stream(viewer: Viewer, on_close: Callable[[], None]) -> EventStream:
    return EventStream(PlanFeed(viewer, as_sse), b"event: connected\ndata: {}\n\n", StreamLimits(), on_close)


@pytest.mark.parametrize(("stalled", "reason"), [(True, "stalled"), (False, "disconnected")])
async def test_why_a_client_that_took_nothing_was_lost(*, stalled: bool, reason: Reason) -> None:
    """The server knows whether it ended the connection; nothing is sent after it, and the place is given back once."""
    plan, client, closed = Plan(), Client(takes=2), list[bool]()
    viewer = Viewer(plan)
    viewer.follow(stale=True)
    serving = asyncio.create_task(
        _stream(viewer, lambda: closed.append(True))(client.scope, client.receive, client.send)
    )
    async with asyncio.timeout(SECONDS):
        await client.full.wait()
        client.lose(stalled=stalled)
        await serving
    assert (viewer.reason, closed) == (reason, [True])
    assert [message["type"] for message in client.taken] == ["http.response.start", "http.response.body"]


async def test_nothing_is_encoded_for_a_client_that_takes_nothing() -> None:
    """Whatever happens to the plan meanwhile: it costs the one document that could not be sent."""
    plan, client = Plan(), Client(takes=2)
    viewer = Viewer(plan, mode="snapshots")
    viewer.follow(stale=True)
    serving = asyncio.create_task(_stream(viewer, lambda: None)(client.scope, client.receive, client.send))
    async with asyncio.timeout(SECONDS):
        await client.full.wait()
        for _ in range(100):
            viewer.put(Frame("progress", b"{}"))
            await asyncio.sleep(0)
        client.lose(stalled=True)
        await serving
    assert plan.encoded == 1


class Writer:
    """The server's own, which is ready."""

    ready = True

    def write(self, part: bytes) -> None:
        """Take it."""


async def test_what_cannot_be_encoded_ends_the_stream() -> None:
    """Its frames are gone, so nothing may follow them: no last part is sent, and the client comes again."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    client, closed = Client(takes=9), list[bool]()
    client.scope["extensions"]["planstream.writer"] = {"writer": Writer()}
    viewer = Viewer(Plan())
    viewer.follow(stale=False)

    def broken(_: Frame) -> bytes:
        raise ZeroDivisionError

    stream = EventStream(PlanFeed(viewer, broken), b"x", StreamLimits(), lambda: closed.append(True))
    serving = asyncio.create_task(stream(client.scope, client.receive, client.send))
    async with asyncio.timeout(SECONDS):
        while len(client.taken) < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        viewer.put(Frame("progress", b"{}"))
        await serving
    assert (viewer.reason, closed, [type(error) for error in told]) == ("failed", [True], [ZeroDivisionError])
    assert [message.get("more_body", True) for message in client.taken] == [True, True]
