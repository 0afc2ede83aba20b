"""A subscription without a queue of its own, on a real server: nats-py still is as we take it to be."""

import asyncio
from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client

from common import direct

SUBJECT = "direct.events"


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    """A connection that is closed again."""
    connection = await nats.connect(nats_url)
    yield connection
    await connection.close()


async def settled(client: Client) -> None:
    """Return when everything that was published before has been handed over; a flush's PING may pass it."""
    barrier = asyncio.Event()
    subscription = await direct.subscribe(client, f"{SUBJECT}.barrier", lambda _: barrier.set())
    await client.publish(f"{SUBJECT}.barrier")
    async with asyncio.timeout(5):
        await barrier.wait()
    await subscription.unsubscribe()


async def test_hands_over_in_order_and_before_the_next_answer_is_read(client: Client) -> None:
    """Messages are with the handler as soon as they are read; none waits in a queue."""
    seen: list[bytes] = []
    subscription = await direct.subscribe(client, SUBJECT, seen.append)
    for number in range(1000):
        await client.publish(SUBJECT, b"%d" % number)
    await settled(client)
    assert seen == [b"%d" % number for number in range(1000)]
    assert subscription.pending_msgs == 0


async def test_a_failing_handler_costs_one_message_alone(client: Client) -> None:
    """What a handler raises ends neither the subscription nor the connection."""
    seen: list[bytes] = []

    def handle(data: bytes) -> None:
        if data == b"bad":
            raise ValueError(data)
        seen.append(data)

    await direct.subscribe(client, SUBJECT, handle)
    for data in (b"one", b"bad", b"two"):
        await client.publish(SUBJECT, data)
    await settled(client)
    assert seen == [b"one", b"two"]
    assert client.is_connected


async def test_more_than_a_subscription_may_keep_is_not_dropped(client: Client) -> None:
    """nats-py counts what waits and drops beyond a bound; here nothing waits, so nothing is counted against it."""
    sizes: list[int] = []
    await direct.subscribe(client, SUBJECT, lambda data: sizes.append(len(data)))
    megabyte = bytes(2**20 - 1024)
    for count in range(160):  # beyond nats-py's 128 MiB
        await client.publish(SUBJECT, megabyte)
        if count % 8 == 7:
            await settled(client)
    assert len(sizes) == 160


async def test_unsubscribing_ends_it(client: Client) -> None:
    """After the end nothing more is handed over, and a connection can still be drained."""
    seen: list[bytes] = []
    subscription = await direct.subscribe(client, SUBJECT, seen.append)
    await subscription.unsubscribe()
    await client.publish(SUBJECT, b"late")
    await settled(client)
    assert seen == []
    await direct.subscribe(client, SUBJECT, seen.append)
    await client.drain()
    assert client.is_closed
