"""The connection to NATS: opened in the background, kept as long as the process, honest about whether it is there."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError
from nats.js.errors import Error as JetStreamError
from pydantic import SecretStr

from common.contracts import subjects
from common.settings import NatsOptions
from common.tasks import end

_log = structlog.get_logger(__name__)

# What a caller may take for "NATS is not there now".
UNAVAILABLE: tuple[type[Exception], ...] = (nats.errors.Error, JetStreamError, TimeoutError, OSError)

# It asserts when it refused to connect at all.
_CLOSE_FAILED: tuple[type[Exception], ...] = (*UNAVAILABLE, AssertionError)

# More than nats-py's own 1-second flush; a job or an outcome that takes longer is sent again by its owner.
PUBLISH_SECONDS = 2.0
DUPLICATE_WINDOW_SECONDS = 120
MEBIBYTE = 1024 * 1024
# nats-py tries again by itself while nobody answers; this is for what it does not expect.
CONNECT_PAUSE_SECONDS = 5.0

JOBS = StreamConfig(
    name=subjects.JOBS_STREAM,
    subjects=[subjects.JOBS_SUBJECT],
    retention=RetentionPolicy.WORK_QUEUE,
    storage=StorageType.FILE,
    discard=DiscardPolicy.NEW,
    max_bytes=256 * MEBIBYTE,
    duplicate_window=DUPLICATE_WINDOW_SECONDS,
)
OUTCOMES = StreamConfig(
    name=subjects.OUTCOMES_STREAM,
    subjects=[subjects.OUTCOMES_WILDCARD],
    retention=RetentionPolicy.WORK_QUEUE,
    storage=StorageType.FILE,
    discard=DiscardPolicy.OLD,
    max_bytes=64 * MEBIBYTE,
    duplicate_window=DUPLICATE_WINDOW_SECONDS,
)

OnConnect = Callable[[], None]


class Broker:
    """NATS as the services use it. Open with `open_broker`."""

    def __init__(self, client: Client, replicas: int = 1) -> None:
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=PUBLISH_SECONDS)
        self.reconnects = 0
        self._replicas = replicas
        self._ready = asyncio.Event()
        self._on_connect: list[OnConnect] = []
        self._stands = False

    @property
    def connected(self) -> bool:
        """Whether a publish would go out now, and everybody has heard that there is a new connection.

        The client alone says so a round trip too early, when a plan that may no longer be ours would be published.
        """
        return self._stands and self.client.is_connected

    async def wait_connected(self) -> None:
        """Return once the first connection stands; nats-py keeps subscriptions over reconnects by itself."""
        await self._ready.wait()

    def on_connect(self, callback: OnConnect) -> None:
        """Call this at the first connection and at each one after an outage."""
        self._on_connect.append(callback)

    async def ensure_stream(self, config: StreamConfig) -> None:
        """Create the stream, or bring it to this configuration.

        Raises:
            nats.errors.Error: JetStream does not answer or refuses.
        """
        wanted = config.evolve(num_replicas=self._replicas)
        try:
            await self.jetstream.add_stream(wanted)
        except BadRequestError:
            await self.jetstream.update_stream(wanted)

    def connection_stands(self) -> None:
        """Said by the connection itself: tell everybody who waits for it."""
        self._ready.set()
        for callback in self._on_connect:
            callback()
        self._stands = True

    def connection_lost(self) -> None:
        """Said by the connection itself."""
        self._stands = False


async def _on_error(error: Exception) -> None:
    _log.warning("nats.error", error=repr(error))


def end_this_process() -> None:
    """Drain and end as at any SIGTERM; whoever looks after the process starts a new one."""
    signal.raise_signal(signal.SIGTERM)


def inbox_prefix(name: str) -> str:
    """Where the answers to a service's requests go. Its NATS user may read there, and no other service's."""
    return f"_INBOX.{name}"


def _credentials(url: SecretStr) -> tuple[str, str] | tuple[None, None]:
    """User and password of the first address, for all; a user alone is a token, which nats-py finds itself."""
    first = urlsplit(url.get_secret_value().split(",")[0])
    if not first.username or not first.password:
        return None, None
    return unquote(first.username), unquote(first.password)


def _tls(url: SecretStr, options: NatsOptions) -> ssl.SSLContext | None:
    if not url.get_secret_value().startswith(("tls://", "wss://")):
        return None
    context = ssl.create_default_context(cafile=options.ca)
    if options.certificate is not None:
        context.load_cert_chain(options.certificate, options.key)
    return context


@asynccontextmanager
async def open_broker(
    url: SecretStr,
    name: str,
    options: NatsOptions = NatsOptions(),  # noqa: B008 - frozen
    give_up: Callable[[], None] = end_this_process,
) -> AsyncIterator[Broker]:
    """Connect in the background, so that a service starts, and serves what it can, while NATS is away.

    Args:
        url: one server or several.
        name: the service, as in its NATS user's permissions.
        options: of the connection and the streams.
        give_up: called when there is no way back to NATS but a new process.

    Raises:
        OSError: a file of the options cannot be read, or is no certificate or key (ssl.SSLError).
    """
    given = _connection(url, name, options)
    client = Client()
    broker = Broker(client, options.replicas)
    closing = False

    async def connected_again() -> None:
        broker.reconnects += 1
        broker.connection_stands()
        # Without what stands before the `@`: user and password.
        there = client.connected_url
        _log.info("nats.reconnected", server=there.netloc.rpartition("@")[2] if there else None)

    async def disconnected() -> None:
        broker.connection_lost()
        _log.warning("nats.disconnected")

    async def closed() -> None:
        # Some errors that a server says make nats-py give the connection up for good, with all that was subscribed.
        if not closing:
            _log.error("nats.given_up", error=repr(client.last_error))
            give_up()

    given |= {"disconnected_cb": disconnected, "reconnected_cb": connected_again, "closed_cb": closed}
    task = asyncio.create_task(_connect(broker, given), name="nats-connect")
    try:
        yield broker
    finally:
        closing = True
        await end(task)
        await _close(client)


async def _connect(broker: Broker, given: dict[str, Any]) -> None:
    while True:
        try:
            await broker.client.connect(**given)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task: it says so and tries again
            _log.error("nats.connect_failed", error=repr(error))
            await asyncio.sleep(CONNECT_PAUSE_SECONDS)
        else:
            break
    broker.connection_stands()


def _connection(url: SecretStr, name: str, options: NatsOptions) -> dict[str, Any]:
    """What nats-py is told; raises as `open_broker`."""
    context = _tls(url, options)
    user, password = _credentials(url)
    return {
        "servers": url.get_secret_value().split(","),
        "name": name,
        # Servers of a cluster tell of each other, without a word about who we are.
        "user": user,
        "password": password,
        "inbox_prefix": inbox_prefix(name),
        "tls": context,
        # Otherwise the server says in plain text whether there is TLS, and whoever is in between may say that there is
        # none, and is told the password.
        "tls_handshake_first": context is not None and url.get_secret_value().startswith("tls://"),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.5,
        "connect_timeout": 2,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "error_cb": _on_error,
    }


async def _close(client: Client) -> None:
    # drain() raises while reconnecting; what is pending then goes nowhere anyway.
    try:
        async with asyncio.timeout(2):
            if client.is_connected:
                await client.flush()
            await client.close()
    except _CLOSE_FAILED as error:
        _log.warning("nats.close_failed", error=repr(error))
