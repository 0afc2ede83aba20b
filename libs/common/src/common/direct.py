"""A subscription that hands each message over as it is read, without a queue and a task of its own in between."""

import asyncio
from collections.abc import Callable

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

_log = structlog.get_logger(__name__)

Handle = Callable[[bytes], None]


class _Handover(asyncio.Queue[Msg]):
    """Stands where nats-py keeps what its subscription has not fetched yet; nothing ever waits here."""

    def __init__(self, handle: Handle) -> None:
        super().__init__()
        self._handle = handle

    def put_nowait(self, item: Msg) -> None:
        """Called for each message of the subscription."""
        try:
            self._handle(item.data)
        except Exception as error:  # noqa: BLE001 - it would end the connection, and everybody's subscriptions with it
            _log.error("nats.handler_failed", subject=item.subject, error=repr(error))


async def subscribe(client: Client, subject: str, handle: Handle) -> Subscription:
    """Subscribe; `handle` gets each message's data in the order of arrival, and must not block.

    nats-py knows callbacks as coroutines alone, each subscription with a queue and a task that wakes for every message.
    Where a message costs as little as an event of a plan does, that is a sixth of everything. What stands in the place
    of the queue is nats-py's own attribute; `tests/integration/common/test_direct.py` holds it to that.

    Raises:
        nats.errors.Error: the connection is closed or draining.
    """
    # Nothing waits, so nothing is too much.
    subscription = await client.subscribe(subject, pending_bytes_limit=0)
    subscription._pending_queue = _Handover(handle)
    return subscription
