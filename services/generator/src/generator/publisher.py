"""The one way out to NATS: a queue and a single task, so that what is said first arrives first."""

import asyncio
from collections import deque
from uuid import UUID

import structlog
from nats.errors import MaxPayloadError

from common.broker import UNAVAILABLE, Broker
from common.contracts import subjects
from generator import metrics

_log = structlog.get_logger(__name__)

# nats-py buffers 2 MiB while it reconnects and then raises; while NATS is away nothing is queued here at all.
MAX_QUEUED = 20_000


class Publisher:
    """`send` never waits and never raises: publishing must not fail a plan."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._queue: deque[tuple[str, bytes]] = deque()
        self._wake = asyncio.Event()

    def send(self, subject: str, payload: bytes) -> None:
        """Queue a message in order; dropped while NATS is away (a snapshot follows when it is back)."""
        if not self._broker.connected or len(self._queue) >= MAX_QUEUED:
            _drop(1)
            return
        self._queue.append((subject, payload))
        self._wake.set()

    async def run(self) -> None:
        """Publish what is queued, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                subject, payload = self._queue.popleft()
                try:
                    await self._broker.client.publish(subject, payload)
                except MaxPayloadError:
                    _drop(1)
                    _log.error("publish.too_large", subject=subject, size=len(payload))
                except UNAVAILABLE as error:
                    _drop(1 + len(self._queue))
                    self._queue.clear()
                    _log.warning("publish.failed", subject=subject, error=repr(error))

    def event(self, plan_id: UUID, payload: bytes) -> None:
        """Publish a stream event of a plan."""
        self.send(subjects.events(plan_id), payload)


def _drop(number: int) -> None:
    metrics.DROPPED.inc(number)
