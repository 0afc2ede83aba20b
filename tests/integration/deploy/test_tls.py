"""TLS to NATS and to Postgres, by settings alone, with an authority of the tests' own."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from common.broker import open_broker
from common.postgres import DatabaseUnavailableError, open_database
from common.settings import NatsOptions
from local_stack.nats import NatsServer
from local_stack.ports import LOOPBACK
from testkit.certificates import Authority, Certified

OpenTlsNats = Callable[[str], AbstractAsyncContextManager[NatsServer]]
TLS = "tls {{ handshake_first: true, cert_file: '{certificate}', key_file: '{key}' }}"
MUTUAL = TLS.replace("true,", "true, verify: true, ca_file: '{authority}',")


def configuration(template: str, own: Certified) -> str:
    """The server's own, with the files."""
    return template.format(certificate=own.certificate, key=own.key, authority=own.authority)


def secret_url(server: NatsServer, scheme: str = "tls") -> SecretStr:
    """Where the server is."""
    return SecretStr(f"{scheme}://someone:a-password@{LOOPBACK}:{server.port}")


async def reaches(url: SecretStr, options: NatsOptions) -> None:
    """Connect, and hear oneself."""
    async with open_broker(url, "test", options) as broker, asyncio.timeout(10):
        await broker.wait_connected()
        subscription = await broker.client.subscribe("plan.events.x")
        await broker.client.publish("plan.events.x", b"heard")
        assert (await subscription.next_msg(timeout=5)).data == b"heard"


async def is_refused(url: SecretStr, options: NatsOptions, word: str) -> None:
    """Wait until the log says why there is no connection."""
    with capture_logs() as lines:
        async with open_broker(url, "test", options) as broker, asyncio.timeout(10):
            while not any(word.lower() in str(line.get("error", "")).lower() for line in lines):
                await asyncio.sleep(0.02)
            assert not broker.connected


async def test_nats_speaks_tls(open_tls_nats: OpenTlsNats, authority: Authority) -> None:
    """With tls:// and the authority's certificate."""
    async with open_tls_nats(configuration(TLS, authority.certify("nats"))) as server:
        await reaches(secret_url(server), NatsOptions(ca=str(authority.file)))


async def test_a_nats_of_somebody_else_is_refused(
    open_tls_nats: OpenTlsNats, authority: Authority, stranger: Authority
) -> None:
    """A certificate that another authority signed is not believed, and neither is any without an authority."""
    async with open_tls_nats(configuration(TLS, stranger.certify("nats"))) as server:
        await is_refused(secret_url(server), NatsOptions(ca=str(authority.file)), "certificate verify failed")
        await is_refused(secret_url(server), NatsOptions(), "certificate verify failed")


async def test_nats_may_ask_for_our_certificate(open_tls_nats: OpenTlsNats, authority: Authority) -> None:
    """With a certificate and its key it lets us in, without them it does not."""
    own = authority.certify("generator")
    async with open_tls_nats(configuration(MUTUAL, authority.certify("nats"))) as server:
        known = NatsOptions(ca=str(authority.file), certificate=str(own.certificate), key=str(own.key))
        await reaches(secret_url(server), known)
        await is_refused(secret_url(server), NatsOptions(ca=str(authority.file)), "certificate required")


async def test_a_password_is_never_said_in_plain_text(authority: Authority) -> None:
    """Who stands in between and says that there is no TLS is told nothing: neither the password nor a name."""
    said = bytearray()
    came = asyncio.Event()

    async def in_between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.12.0", "proto": 1, "max_payload": 1048576, "tls_required": False}
        writer.write(b"INFO " + json.dumps(info).encode() + b" \r\n")
        while chunk := await reader.read(4096):
            said.extend(chunk)
            came.set()
        writer.close()

    server = await asyncio.start_server(in_between, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    url = SecretStr(f"tls://someone:a-password@{LOOPBACK}:{port}")
    async with server, open_broker(url, "test", NatsOptions(ca=str(authority.file))) as broker, asyncio.timeout(10):
        await came.wait()
        assert not broker.connected
    assert b"a-password" not in said
    assert b"CONNECT" not in said


async def test_a_file_that_is_missing_is_said_at_the_start() -> None:
    """A service whose certificates are not there does not start."""
    with pytest.raises(FileNotFoundError):
        async with open_broker(SecretStr("tls://127.0.0.1:4222"), "test", NatsOptions(ca="/nowhere/ca.crt")):
            pass


@asynccontextmanager
async def tls_before(database: str, own: Certified) -> AsyncIterator[str]:
    """The same Postgres behind TLS, as its own protocol begins it: the embedded server is built without."""
    parts = urlsplit(database)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    tasks: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # SSLRequest: its length and its code. https://www.postgresql.org/docs/18/protocol-message-formats.html
        if await reader.readexactly(8) != bytes.fromhex("0000000804d2162f"):
            writer.close()
            return
        writer.write(b"S")
        await writer.drain()
        try:
            await writer.start_tls(context)
        except (OSError, ssl.SSLError):
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_connection(parts.hostname, parts.port)
        for step in (partial(pipe, reader, there_writer), partial(pipe, there_reader, writer)):
            task = asyncio.create_task(step())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{LOOPBACK}:{port}").geturl()
    if tasks:
        await asyncio.wait(tasks, timeout=5)


async def test_postgres_speaks_tls(database: str, authority: Authority) -> None:
    """With sslmode and sslrootcert in DATABASE_URL, as libpq has them."""
    async with tls_before(database, authority.certify("postgres")) as url:
        wanted = SecretStr(f"{url}?sslmode=verify-full&sslrootcert={authority.file}")
        async with open_database(wanted, "test") as opened:
            assert await opened.fetchval("SELECT 1") == 1


async def test_a_postgres_of_somebody_else_is_refused(database: str, authority: Authority, stranger: Authority) -> None:
    """Its certificate is checked before anything is said."""
    async with tls_before(database, stranger.certify("postgres")) as url:
        wanted = SecretStr(f"{url}?sslmode=verify-full&sslrootcert={authority.file}")
        async with open_database(wanted, "test") as opened:
            with pytest.raises((DatabaseUnavailableError, ssl.SSLError)):
                await opened.fetchval("SELECT 1")


async def test_a_postgres_without_tls_is_refused(database: str, authority: Authority) -> None:
    """With verify-full nothing is said in plain text."""
    wanted = SecretStr(f"{database}?sslmode=verify-full&sslrootcert={authority.file}")
    async with open_database(wanted, "test") as opened:
        with pytest.raises((DatabaseUnavailableError, asyncpg.PostgresError)):
            await opened.fetchval("SELECT 1")
