"""The reference count of a plan's viewers, with subscriptions that remember what became of them."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, cast
from uuid import UUID

import pytest

from common import payloads
from common.contracts import subjects
from stream_gateway.attach import Line
from stream_gateway.hub import Hub, Watch
from stream_gateway.owned_tasks import OwnedTasks

PLAN_ID = UUID("6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac")
EVENTS, VIEWERS = subjects.events(PLAN_ID), subjects.viewers(PLAN_ID)


class Subscription:
    """A subscription, and the task that ended it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.ended_by: asyncio.Task[Any] | None = None

    async def unsubscribe(self) -> None:
        self.ended_by = asyncio.current_task()


class Client:
    """NATS without an owner of the plan; also the broker, which stands, and the generators, who know of no plan."""

    connected = True

    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []
        self.client = self

    async def subscribe(self, subject: str, **_: object) -> Subscription:
        self.subscriptions.append(Subscription(subject))
        return self.subscriptions[-1]

    async def request(self, *_: object, **__: object) -> None:
        raise TimeoutError

    async def publish(self, *_: object) -> None:
        pass

    async def view(self, *_: object) -> None:
        pass

    def open(self) -> list[str]:
        """The subjects of the subscriptions that stand."""
        return [each.subject for each in self.subscriptions if each.ended_by is None]


@pytest.fixture
def client() -> Client:
    """What the hub talks to."""
    return Client()


@pytest.fixture
def make_hub(client: Client) -> Callable[..., Hub]:
    """A hub on that client."""
    anything = cast("Any", client)
    return lambda **options: Hub(Line(anything, anything, OwnedTasks(), anything), **options)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.005)


async def _joined(hub: Hub, client: Client) -> Watch:
    watch = hub.join(PLAN_ID)
    await _until(lambda: client.open() == [EVENTS, VIEWERS])
    return watch


async def test_viewers_share_an_entry_until_the_last_has_left(client: Client, make_hub: Callable[..., Hub]) -> None:
    """Rule 12: viewers are counted: one subscription for all, and the last to leave takes the entry out."""
    hub = make_hub(linger=0)
    first, second = await _joined(hub, client), hub.join(PLAN_ID)
    assert first.attachment is second.attachment
    hub.leave(first)
    assert list(hub) == [first.attachment]
    hub.leave(second)
    assert list(hub) == []
    await _until(lambda: client.open() == [])
    assert len(client.subscriptions) == 2


async def test_a_newcomer_makes_a_new_entry(client: Client, make_hub: Callable[..., Hub]) -> None:
    """Rule 12: whoever comes in the moment after the last has left subscribes anew, whatever the old entry does."""
    hub = make_hub(linger=0)
    gone = await _joined(hub, client)
    hub.leave(gone)
    came = hub.join(PLAN_ID)
    assert came.attachment is not gone.attachment
    assert list(hub) == [came.attachment]
    await _until(lambda: len(client.subscriptions) == 4 and client.open() == [EVENTS, VIEWERS])
    assert all(each.ended_by is None for each in client.subscriptions[2:])


async def test_an_entry_lingers(client: Client, make_hub: Callable[..., Hub]) -> None:
    """Rule 12: who asks for viewers hears nothing at once; the events are unsubscribed after the linger alone."""
    hub = make_hub(linger=0.1)
    hub.leave(await _joined(hub, client))
    began = asyncio.get_running_loop().time()
    await _until(lambda: client.open() == [EVENTS])
    await _until(lambda: client.open() == [])
    assert asyncio.get_running_loop().time() - began >= 0.09


async def test_nobody_unsubscribes_in_a_callback(client: Client, make_hub: Callable[..., Hub]) -> None:
    """Rule 12: leaving inside a subscription's callback ends the subscription from another task."""
    hub = make_hub(linger=0)
    watch = await _joined(hub, client)

    async def callback() -> str:
        hub.leave(watch)
        await asyncio.sleep(0)
        return "went on"

    calling = asyncio.create_task(callback())
    assert await calling == "went on"
    await _until(lambda: client.open() == [])
    assert calling not in {each.ended_by for each in client.subscriptions}


async def test_when_a_plan_was_last_seen_to_be_written(make_hub: Callable[..., Hub], client: Client) -> None:
    """Never before its first event, after its end, or when nobody here watches it."""
    hub = make_hub(linger=0)
    assert hub.advanced_at(PLAN_ID) == -inf
    watch = await _joined(hub, client)
    assert hub.advanced_at(PLAN_ID) == -inf
    before = asyncio.get_running_loop().time()
    watch.channel.receive(payloads.snapshot(str(PLAN_ID), 1, 0, None, {"phase": "streaming"}))
    assert before <= hub.advanced_at(PLAN_ID) <= asyncio.get_running_loop().time()
    end = payloads.End("failed", "cancelled", None, None)
    watch.channel.receive(payloads.terminal(PLAN_ID, 1, 1, end, None, {}))
    assert watch.channel.ended
    assert hub.advanced_at(PLAN_ID) == -inf
    hub.leave(watch)
