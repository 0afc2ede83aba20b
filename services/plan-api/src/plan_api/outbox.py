"""The outbox relay: a committed job reaches JetStream at least once, and JetStream drops what it has already."""

import asyncio
from collections.abc import Sequence

import structlog
from nats.js.errors import NoStreamResponseError

from common import broker as nats_broker
from common import tracing
from common.broker import JOBS, PUBLISH_SECONDS, Broker
from common.contracts import subjects
from common.postgres import UNAVAILABLE as POSTGRES_UNAVAILABLE
from common.postgres import Database
from plan_api.repository import outbox
from plan_api.repository.outbox import OutboxRow

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5
# Somebody waits for the answer that the job is accepted, which is true already.
AT_ONCE_SECONDS = 4.0
BATCH = 100


class Outbox:
    """Publishes jobs: at once after the commit, and again from the table when that failed or never happened."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows that were committed just now. Never fails: the relay does what is left undone."""
        try:
            async with asyncio.timeout(AT_ONCE_SECONDS):
                sent = await asyncio.gather(*map(self._send_now, rows))
                if published := [row.id for row, is_sent in zip(rows, sent, strict=True) if is_sent]:
                    async with self._database.connection() as connection:
                        await outbox.delete(connection, published)
        except (*nats_broker.UNAVAILABLE, *POSTGRES_UNAVAILABLE) as error:
            _log.warning("outbox.left_to_the_relay", jobs=len(rows), error=repr(error))

    async def _send_now(self, row: OutboxRow) -> bool:
        try:
            with tracing.span("publish job", plan_id=str(row.plan_id)):
                await self._send(row)
        except nats_broker.UNAVAILABLE as error:
            _log.warning("outbox.publish_delayed", plan_id=str(row.plan_id), n=row.n, error=repr(error))
            return False
        _log.debug("outbox.published", plan_id=str(row.plan_id), n=row.n)
        return True

    async def run(self) -> None:
        """Relay for ever. An empty outbox costs a look at an empty table every half second; none while NATS is away."""
        await self._broker.wait_connected()
        await self._broker.ensure_stream(JOBS)
        while True:
            if self._broker.connected:
                await self.relay()
            await asyncio.sleep(PAUSE_SECONDS)

    async def relay(self) -> int:
        """Publish what was left behind, oldest first; answers with how many jobs went out.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        async with self._database.connection() as connection:
            if not await outbox.any_pending(connection):
                return 0
        async with self._database.transaction() as transaction:
            published = await self._send_all(await outbox.claim(transaction, BATCH))
            await outbox.delete(transaction, published)
        _log.debug("outbox.relayed", jobs=len(published))
        return len(published)

    async def _send_all(self, rows: list[OutboxRow]) -> list[int]:
        published: list[int] = []
        for row in rows:
            try:
                await self._send(row)
            except nats_broker.UNAVAILABLE as error:
                _log.warning("outbox.relay_delayed", plan_id=str(row.plan_id), n=row.n, error=repr(error))
                break
            published.append(row.id)
        return published

    async def _send(self, row: OutboxRow) -> None:
        try:
            await self._publish(row)
        except NoStreamResponseError:
            await self._broker.ensure_stream(JOBS)
            await self._publish(row)

    async def _publish(self, row: OutboxRow) -> None:
        await self._broker.jetstream.publish(
            subjects.JOBS_SUBJECT,
            row.payload,
            timeout=PUBLISH_SECONDS,
            stream=subjects.JOBS_STREAM,
            headers={"Nats-Msg-Id": f"{row.plan_id}.{row.n}"},
        )
