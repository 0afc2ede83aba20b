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


async def _becomes(broker: Broker, *, connected: bool) -> None:
    while broker.connected != connected:
        await asyncio.sleep(0.02)
