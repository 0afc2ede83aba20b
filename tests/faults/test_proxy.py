"""The proxy does to connections what it says, and the filter takes the NATS protocol apart at any split."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from testkit.nats_frames import PublicationFilter
from testkit.proxy import LOOPBACK, Proxy, Switchboard, open_switchboard

SECONDS = 2.0
SAID = (
    b'CONNECT {"verbose":false}\r\nPING\r\nSUB plan.events.1 7\r\nPUB plan.events.1 5\r\na\r\nbc\r\n'
    b"HPUB plan.outcomes.1 _R.1 12 14\r\nNATS/1.0\r\n\r\nok\r\nPUB plan.events.2 0\r\n\r\nPONG\r\n"
)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy in front of a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    async with Proxy() as proxy:
        proxy.target = (LOOPBACK, server.sockets[0].getsockname()[1])
        yield proxy
    server.close()
    await server.wait_closed()


class Client:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, proxy: Proxy) -> "Client":
        """Connect."""
        return cls(*await asyncio.open_connection(LOOPBACK, proxy.port))

    async def echo(self, text: bytes, seconds: float = SECONDS) -> bytes:
        """Say something and wait for it."""
        self.writer.write(text)
        return await self.hear(len(text), seconds)

    async def hear(self, size: int, seconds: float = SECONDS) -> bytes:
        """Wait for so many bytes."""
        return await asyncio.wait_for(self._reader.readexactly(size), seconds)


async def test_forwards(proxy: Proxy) -> None:
    """What is said arrives, and comes back."""
    client = await Client.to(proxy)
    assert await client.echo(b"hello") == b"hello"
    assert (proxy.accepted, proxy.open) == (1, 1)
    client.writer.close()


async def test_pause(proxy: Proxy) -> None:
    """Nothing passes a paused proxy; what was held passes when it resumes."""
    client = await Client.to(proxy)
    await client.echo(b"before")
    proxy.pause()
    with pytest.raises(TimeoutError):
        await client.echo(b"held", 0.1)
    proxy.resume()
    assert await client.hear(4) == b"held"
    assert proxy.held == 4
    client.writer.close()


async def test_cut(proxy: Proxy) -> None:
    """A cut connection is reset, and a new one stands."""
    client = await Client.to(proxy)
    await client.echo(b"before")
    assert proxy.cut() == 1
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.echo(b"after")
    again = await Client.to(proxy)
    assert await again.echo(b"again") == b"again"
    again.writer.close()


async def test_refuse(proxy: Proxy) -> None:
    """A refusing proxy keeps what is open, takes nothing new, and comes back under the same port."""
    client = await Client.to(proxy)
    await client.echo(b"before")
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await Client.to(proxy)
    assert await client.echo(b"still") == b"still"
    await proxy.accept()
    again = await Client.to(proxy)
    assert await again.echo(b"again") == b"again"
    client.writer.close()
    again.writer.close()


async def test_filter_of_a_connection(proxy: Proxy) -> None:
    """A filter changes what goes to the server, for connections that are opened after it was set."""
    proxy.filters = lambda: bytes.upper
    client = await Client.to(proxy)
    assert await client.echo(b"hello") == b"HELLO"
    client.writer.close()


async def test_rewire() -> None:
    """The switchboard leads a service to its own proxy, and keeps user, password and database."""
    async with open_switchboard(["plan-api"]) as board:
        wired = board.rewire("plan-api", {"DATABASE_URL": "postgresql://u:p@127.0.0.1:5432/d", "PORT": "1"})
        proxy = board.of("DATABASE_URL", "plan-api")[0]
    assert isinstance(board, Switchboard)
    assert wired == {"DATABASE_URL": f"postgresql://u:p@127.0.0.1:{proxy.port}/d", "PORT": "1"}
    assert proxy.target == ("127.0.0.1", 5432)


@pytest.mark.parametrize("split", range(len(SAID)))
def test_filter_at_any_split(split: int) -> None:
    """Publications are lost whole, and everything else passes unchanged, wherever the bytes are cut."""
    publications = PublicationFilter(lambda subject, _: subject != b"plan.events.1")
    passed = publications.feed(SAID[:split]) + publications.feed(SAID[split:])
    assert passed == SAID.replace(b"PUB plan.events.1 5\r\na\r\nbc\r\n", b"")
    assert publications.lost == 1


def test_filter_sees_the_payload() -> None:
    """The decision is made on subject and payload, with the headers of an HPUB in front."""
    seen = []

    def keep(subject: bytes, payload: bytes) -> bool:
        seen.append((subject, payload))
        return True

    assert PublicationFilter(keep).feed(SAID) == SAID
    assert seen == [
        (b"plan.events.1", b"a\r\nbc"),
        (b"plan.outcomes.1", b"NATS/1.0\r\n\r\nok"),
        (b"plan.events.2", b""),
    ]
