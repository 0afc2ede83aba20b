"""What a plan's owner answers, and in which order it leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import orjson
import pytest

from common.contracts import subjects
from common.contracts.messages import ControlRequest
from common.tasks import background
from generator.control import ControlDesk
from generator.publisher import Publisher
from generator.run import Run
from generator.turns import TICK_SECONDS, Turns

Callback = Callable[[Any], Awaitable[None]]


class Client:
    """NATS, also as the broker: what is subscribed, and what was published in which order."""

    connected = True

    def __init__(self) -> None:
        self.client = self
        self.callbacks: dict[str, Callback] = {}
        self.published: list[tuple[str, bytes]] = []

    async def subscribe(self, subject: str, cb: Callback) -> "Subscription":
        self.callbacks[subject] = cb
        return Subscription(self, subject)

    async def publish(self, subject: str, payload: bytes) -> None:
        self.published.append((subject, payload))

    async def ask(self, subject: str, data: bytes = b"") -> None:
        """A request that wants its reply at `inbox`."""

        async def respond(payload: bytes) -> None:
            await self.publish("inbox", payload)

        await self.callbacks[subject](SimpleNamespace(reply="inbox", data=data, respond=respond))

    async def until(self, number: int) -> None:
        """Wait until so much was published."""
        async with asyncio.timeout(2):
            while len(self.published) < number:
                await asyncio.sleep(0)


class Subscription:
    """One subject of the client's."""

    def __init__(self, client: Client, subject: str) -> None:
        self._client = client
        self._subject = subject

    async def unsubscribe(self) -> None:
        del self._client.callbacks[self._subject]


@pytest.fixture
def client() -> Client:
    """NATS."""
    return Client()


@pytest.fixture
def publisher(client: Client) -> Publisher:
    """A publisher that does not run yet."""
    return Publisher(cast("Any", client))


async def test_a_reply_follows_the_events_before_it(
    client: Client, publisher: Publisher, new_run: Callable[..., Run]
) -> None:
    """Rule 4: a state reply leaves through the same queue as the events, so it overtakes none that it contains."""
    run = new_run()
    desk = ControlDesk(cast("Any", client), publisher, Turns(lambda: 0.0), lambda: [run])
    await desk.attach(run)
    for payload in (b"one", b"two"):
        publisher.event(run.plan_id, payload)
    await client.ask(subjects.state(run.plan_id))
    publisher.event(run.plan_id, b"three")
    assert client.published == []
    async with background("publisher", publisher.run):
        await client.until(4)
    events = subjects.events(run.plan_id)
    assert [subject for subject, _ in client.published] == [events, events, "inbox", events]


async def test_a_suspect_owner_does_not_answer(
    client: Client, publisher: Publisher, new_run: Callable[..., Run]
) -> None:
    """Rule 7: who may not be the owner any more answers nothing, so that the asker reads the row."""
    run = new_run()
    desk = ControlDesk(cast("Any", client), publisher, Turns(lambda: 0.0), lambda: [run])
    await desk.attach(run)
    run.plan.distrust()
    await client.ask(subjects.state(run.plan_id))
    publisher.event(run.plan_id, b"last")
    async with background("publisher", publisher.run):
        await client.until(1)
    assert client.published == [(subjects.events(run.plan_id), b"last")]


async def test_the_end_is_told_for_a_while(client: Client, publisher: Publisher, new_run: Callable[..., Run]) -> None:
    """Rule 6: whoever asks after the end gets the terminal event: the owner's subscriptions outlive the run."""
    run = new_run()
    desk = ControlDesk(cast("Any", client), publisher, Turns(lambda: 0.0), lambda: [run])
    end = orjson.dumps({"event": "complete"})

    async def told(plan_id: UUID) -> bytes:
        await client.ask(subjects.state(plan_id))
        await client.until(1)
        return client.published.pop()[1]

    async with background("publisher", publisher.run), background("control", desk.run):
        await desk.attach(run)
        run.plan.end(end, 1)
        desk.detach_later(run)
        assert await told(run.plan_id) == end
        await asyncio.sleep(0.7)  # longer than the desk takes to look around
        assert await told(run.plan_id) == end


async def test_a_cancel_comes_before_what_others_write(
    client: Client, publisher: Publisher, new_run: Callable[..., Run]
) -> None:
    """Somebody waits for its answer: until the end is stored, plans that are read in turns give way."""
    run, turns, turn = new_run(), Turns(lambda: TICK_SECONDS), asyncio.Event()
    later = SimpleNamespace(flowing=True, chars=0, pause=bool, resume=turn.set)
    desk = ControlDesk(cast("Any", client), publisher, turns, lambda: [run])
    await desk.attach(run)
    cancel = asyncio.create_task(client.ask(subjects.control(run.plan_id), ControlRequest(command="cancel").to_json()))
    await asyncio.sleep(0)
    turns.reader(most_chars=1)(later)
    await asyncio.sleep(5 * TICK_SECONDS)
    assert run.stopped == "cancel"
    assert not turn.is_set()
    run.done.set()
    await asyncio.gather(cancel, asyncio.wait_for(turn.wait(), 1))
