"""The consumer of outcomes: news from JetStream that a plan has ended."""

import asyncio

import asyncpg
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from pydantic import ValidationError

from common.broker import OUTCOMES, Broker
from common.broker import UNAVAILABLE as NATS_UNAVAILABLE
from common.contracts import subjects
from common.contracts.messages import Outcome
from common.postgres import UNAVAILABLE as POSTGRES_UNAVAILABLE
from plan_api.settlement import Settlement

_log = structlog.get_logger(__name__)

# Also how long a request stays unanswered that an outage of NATS has swallowed.
FETCH_SECONDS = 1.0
RETRY_SECONDS = 2.0

CONSUMER = ConsumerConfig(
    durable_name=subjects.OUTCOMES_CONSUMER,
    ack_policy=AckPolicy.EXPLICIT,
    ack_wait=30,
    max_deliver=-1,
    max_ack_pending=1000,
)


class Outcomes:
    """Settles what the generators announce. Lost news is not the end: the reconciler asks."""

    def __init__(self, broker: Broker, settlement: Settlement) -> None:
        self._broker = broker
        self._settlement = settlement

    async def run(self) -> None:
        """Consume for ever.

        Raises:
            nats.errors.Error: the stream or the consumer is gone; run again, and they are made again.
        """
        await self._broker.wait_connected()
        await self._broker.ensure_stream(OUTCOMES)
        await self._broker.jetstream.add_consumer(subjects.OUTCOMES_STREAM, CONSUMER)
        subscription = await self._broker.jetstream.pull_subscribe_bind(
            consumer=subjects.OUTCOMES_CONSUMER, stream=subjects.OUTCOMES_STREAM
        )
        try:
            while True:
                await self._step(subscription)
        finally:
            await self._unsubscribe(subscription)

    async def _step(self, subscription: JetStreamContext.PullSubscription) -> None:
        if not self._broker.connected:
            await asyncio.sleep(0.5)
            return
        try:
            messages = await subscription.fetch(1, timeout=FETCH_SECONDS)
        except nats.errors.TimeoutError:
            # Also what a consumer that is being deleted answers; the next fetch then meets no responder, and raises.
            return
        for message in messages:
            await self._take(message)

    async def _take(self, message: Msg) -> None:
        try:
            outcome = Outcome.model_validate_json(message.data)
        except ValidationError as error:
            _log.error("outcome.malformed", subject=message.subject, errors=error.errors(include_input=False))
            await message.term()
            return
        try:
            await self._settlement.settle(outcome)
        except POSTGRES_UNAVAILABLE as error:
            _log.warning("outcome.delayed", plan_id=str(outcome.plan_id), error=repr(error))
            await message.nak(delay=RETRY_SECONDS)
            return
        except asyncpg.IntegrityConstraintViolationError as error:
            # An account that somebody changed by hand. It would come again for ever; the reconciler tries it, too.
            _log.error("outcome.does_not_fit", plan_id=str(outcome.plan_id), error=repr(error))
            await message.term()
            return
        await message.ack()

    async def _unsubscribe(self, subscription: JetStreamContext.PullSubscription) -> None:
        try:
            await subscription.unsubscribe()
        except NATS_UNAVAILABLE as error:
            _log.debug("outcomes.unsubscribe_failed", error=repr(error))
