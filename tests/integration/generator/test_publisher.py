"""The way out to NATS while NATS is not there, or takes not everything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import nats
import pytest
from pydantic import SecretStr

from common.broker import Broker, open_broker
from common.tasks import background
from generator import metrics
from generator.publisher import Publisher
from testkit.metrics import counted

if TYPE_CHECKING:
    from local_stack.nats import NatsServer

DEADLINE = 15.0


@pytest.fixture
async def broker(private_nats: "NatsServer") -> AsyncIterator[Broker]:
    """A generator's connection to a NATS of the test's own."""
    async with open_broker(SecretStr(private_nats.url), "test", give_up=lambda: None) as opened:
        await opened.wait_connected()
        yield opened


@pytest.fixture
async def publisher(broker: Broker) -> AsyncIterator[Publisher]:
    """A publisher at work."""
    made = Publisher(broker)
    async with background("publisher", made.run):
        yield made


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_off_nats_nothing_is_published(private_nats: "NatsServer", broker: Broker, publisher: Publisher) -> None:
    """Rule 11: while NATS is away 3 MiB raise nothing, wait nowhere, and do not come when it is back."""
    await private_nats.process.stop()
    await _until(lambda: not broker.connected)
    with counted(metrics.DROPPED) as dropped:
        for _ in range(48):
            publisher.send("plan.events.away", bytes(64 * 1024))
            await asyncio.sleep(0)
    assert dropped() == 48
    private_nats.process.start()
    await private_nats.ready()
    listener = await nats.connect(private_nats.url)
    subscription = await listener.subscribe("plan.events.*")
    await listener.jetstream().account_info()  # queues behind the SUB, which a flush does not
    await _until(lambda: broker.connected)
    publisher.send("plan.events.back", b"first")
    assert (await subscription.next_msg(timeout=DEADLINE)).data == b"first"
    await listener.close()


async def test_a_message_that_nats_refuses_fails_nothing(
    private_nats: "NatsServer", broker: Broker, publisher: Publisher
) -> None:
    """Rule 11: an event beyond the broker's bound is dropped and counted; the next one goes out."""
    listener = await nats.connect(private_nats.url)
    subscription = await listener.subscribe("plan.events.*")
    await listener.jetstream().account_info()  # queues behind the SUB, which a flush does not
    with counted(metrics.DROPPED) as dropped:
        publisher.send("plan.events.large", bytes(broker.client.max_payload + 1))
        publisher.send("plan.events.small", b"small")
        assert (await subscription.next_msg(timeout=DEADLINE)).data == b"small"
    assert dropped() == 1
    await listener.close()


async def test_what_is_queued_when_the_connection_is_gone_is_dropped_and_counted(broker: Broker) -> None:
    """Rule 11: the one that was being sent and all behind it, which nobody would hear in order any more."""
    publisher = Publisher(broker)
    for number in range(3):
        publisher.send("plan.events.late", bytes([number]))
    await broker.client.close()
    with counted(metrics.DROPPED) as dropped:
        async with background("publisher", publisher.run):
            await _until(lambda: dropped() == 3)
