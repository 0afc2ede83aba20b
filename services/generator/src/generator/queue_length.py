"""How many jobs wait, for those who watch the system: JetStream knows, and each generator asks it now and then."""

import asyncio
from collections.abc import Callable

import structlog

from common.broker import UNAVAILABLE, Broker
from common.contracts import subjects

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 5.0


class QueueLength:
    """Tells `hear` how many jobs nobody has taken. While NATS is away the last figure stands."""

    def __init__(self, broker: Broker, hear: Callable[[float], None]) -> None:
        self._broker = broker
        self._hear = hear

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            if self._broker.connected:
                await self._ask()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self) -> None:
        try:
            info = await self._broker.jetstream.consumer_info(subjects.JOBS_STREAM, subjects.JOBS_CONSUMER)
        except UNAVAILABLE as error:
            # At the first start of all the consumer is made just now.
            _log.debug("queue.not_known", error=repr(error))
            return
        self._hear(info.num_pending or 0)
