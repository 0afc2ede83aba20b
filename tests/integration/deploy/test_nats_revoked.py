"""A user that NATS throws out, and lets in again: by a reload of its configuration, as when passwords are rotated."""

import asyncio
import signal
from pathlib import Path

from pydantic import SecretStr

from common.broker import Broker, open_broker
from local_stack.nats import NatsServer
from local_stack.ports import free_port


async def test_who_was_thrown_out_comes_back(tmp_path: Path) -> None:
    """The server's word against a connection ends that connection, not the service's way to NATS for ever."""
    users = 'authorization {{ user: someone, password: "{}" }}\n'
    port = free_port()
    log = tmp_path / "nats.log"
    server = NatsServer(tmp_path / "nats", port, log, configuration=users.format("the-first"))
    other = NatsServer(tmp_path / "nats", port, log, configuration=users.format("the-second"))
    server.initialise()
    server.process.start()
    try:
        await server.ready()
        url = SecretStr(f"nats://someone:the-first@127.0.0.1:{port}")
        async with open_broker(url, "test") as broker, asyncio.timeout(30):
            await broker.wait_connected()
            other.initialise()
            server.process.send(signal.SIGHUP)
            await _becomes(broker, connected=False)
            server.initialise()
            server.process.send(signal.SIGHUP)
            await _becomes(broker, connected=True)
            assert broker.reconnects == 1
    finally:
        await server.process.stop()


async def test_a_connection_that_is_given_up_is_said(tmp_path: Path) -> None:
    """After some errors nats-py never tries again: without a word the process would be deaf for ever, and look well."""
    server = NatsServer(tmp_path / "nats", free_port(), tmp_path / "nats.log", configuration="max_subscriptions: 2\n")
    server.initialise()
    server.process.start()
    given_up = asyncio.Event()
    try:
        await server.ready()
        async with open_broker(SecretStr(server.url), "test", give_up=given_up.set) as broker, asyncio.timeout(30):
            await broker.wait_connected()
            for number in range(4):
                await broker.client.subscribe(f"test.{number}")
            await given_up.wait()
        given_up.clear()
        async with open_broker(SecretStr(server.url), "test", give_up=given_up.set) as broker, asyncio.timeout(30):
            await broker.wait_connected()
        assert not given_up.is_set(), "closed by us"
    finally:
        await server.process.stop()


async def _becomes(broker: Broker, *, connected: bool) -> None:
    while broker.connected != connected:
        await asyncio.sleep(0.02)
