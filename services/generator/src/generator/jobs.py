"""Jobs from JetStream: take one, claim the plan, keep the delivery alive, acknowledge what is stored."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from pydantic import ValidationError

from common.broker import JOBS, UNAVAILABLE, Broker
from common.contracts import subjects
from common.contracts.errors import ErrorCode
from common.contracts.messages import GenerateJob
from common.postgres import UNAVAILABLE as POSTGRES_UNAVAILABLE
from generator.identity import Refused
from generator.run import Run
from generator.runs import Runs
from generator.service import GenerationService

_log = structlog.get_logger(__name__)

# A little over the lease, so that a redelivery finds the lease of a dead owner expired.
ACK_WAIT_SECONDS = 10.0
BEAT_SECONDS = 3.0
# Also how long a request stays unanswered that an outage of NATS has swallowed.
FETCH_SECONDS = 1.0
POSTGRES_PAUSE = 1.0

CONSUMER = ConsumerConfig(
    durable_name=subjects.JOBS_CONSUMER,
    ack_policy=AckPolicy.EXPLICIT,
    ack_wait=ACK_WAIT_SECONDS,
    # Attempts are capped in Postgres: after JetStream's own limit a message would stay for ever.
    max_deliver=-1,
    max_ack_pending=10_000,
    filter_subject=subjects.JOBS_SUBJECT,
)


@dataclass(slots=True)
class _Delivery:
    """A job in work here: of each message for its plan, by stream sequence, the latest delivery (rule 2)."""

    job: GenerateJob
    messages: dict[int, Msg]


class JobIntake:
    """Pulls jobs while there is room. A redelivery of a plan that is written here replaces the older delivery."""

    def __init__(self, broker: Broker, runs: Runs, service: GenerationService, max_attempts: int) -> None:
        self._broker = broker
        self._runs = runs
        self._service = service
        self._max_attempts = max_attempts
        self._deliveries: dict[UUID, _Delivery] = {}
        self._open = True

    def close(self) -> None:
        """Take no further job; those taken are finished."""
        self._open = False

    async def run(self) -> None:
        """Take jobs until closed; any error of the stream or the consumer begins anew and creates them again."""
        await self._broker.wait_connected()
        await self._broker.ensure_stream(JOBS)
        await self._broker.jetstream.add_consumer(subjects.JOBS_STREAM, CONSUMER)
        pull = await self._broker.jetstream.pull_subscribe_bind(subjects.JOBS_CONSUMER, subjects.JOBS_STREAM)
        try:
            while self._open:
                if not self._runs.has_room or not self._broker.connected:
                    # While NATS is away each pull would wait in the client's buffer, and all be sent at its return.
                    await asyncio.sleep(0.05)
                    continue
                try:
                    (message,) = await pull.fetch(1, timeout=FETCH_SECONDS)
                except nats.errors.TimeoutError:
                    continue
                self._take(message)
        finally:
            if self._broker.connected:
                await pull.unsubscribe()
        await asyncio.Event().wait()

    async def beat(self) -> None:
        """Tell JetStream about the deliveries in work, for ever."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if not self._broker.connected:
                continue
            for delivery in list(self._deliveries.values()):
                for message in list(delivery.messages.values()):
                    await message.in_progress()

    def _take(self, message: Msg) -> None:
        if not self._open:
            # It came while we were leaving, perhaps just given back by ourselves.
            self._runs.spawn(self._return(message))
            return
        try:
            job = GenerateJob.model_validate_json(message.data, extra="ignore")
        except ValidationError as error:
            _log.error("job.malformed", error=str(error)[:500])
            self._runs.spawn(self._reject(message))
            return
        known = self._deliveries.get(job.plan_id)
        if known is not None:
            known.messages[_sequence(message)] = message
            return
        delivery = self._deliveries[job.plan_id] = _Delivery(job, {_sequence(message): message})
        self._runs.spawn(self._work(delivery))

    async def _work(self, delivery: _Delivery) -> None:
        try:
            try:
                claimed = await self._service.claim(delivery.job)
            except POSTGRES_UNAVAILABLE as error:
                _log.warning("job.not_claimed", plan_id=str(delivery.job.plan_id), error=repr(error))
                await self._give_back(delivery, POSTGRES_PAUSE)
                return
            if isinstance(claimed, Refused):
                await self._on_refused(delivery, claimed)
            else:
                await self._write(delivery, claimed)
        finally:
            self._let_go(delivery)

    def _let_go(self, delivery: _Delivery) -> None:
        """No more beats; a delivery that comes from now on is worked by itself."""
        if self._deliveries.get(delivery.job.plan_id) is delivery:
            del self._deliveries[delivery.job.plan_id]

    async def _write(self, delivery: _Delivery, run: Run) -> None:
        await self._service.execute(run)
        if run.ending is not None:
            await self._acknowledge(delivery)
        elif run.stopped == "shutdown":
            await self._give_back(delivery, 0)
        # Fenced: the delivery belongs to whoever owns the plan now.

    async def _on_refused(self, delivery: _Delivery, refused: Refused) -> None:
        job, view = delivery.job, refused.view
        if view.status == "generating" and refused.wait > 0:
            await self._give_back(delivery, refused.wait + 0.1)
            return
        if view.status == "generating" and view.attempt >= self._max_attempts:
            ended = await self._service.cancel(job.plan_id, job.user_id, ErrorCode.INTERNAL)
            if ended is None or ended.status == "generating":
                await self._give_back(delivery, POSTGRES_PAUSE)
                return
        elif view.status == "generating":
            # The lease ran out between the two statements.
            await self._give_back(delivery, 0.1)
            return
        else:
            # The news of its end may have been lost, or this delivery would not be here.
            self._service.announce(view)
        await self._acknowledge(delivery)

    async def _acknowledge(self, delivery: _Delivery) -> None:
        self._let_go(delivery)
        try:
            for message in delivery.messages.values():
                await message.ack_sync(timeout=2)
        except UNAVAILABLE as error:
            # It will come again, find the terminal row and be acknowledged then.
            _log.info("job.not_acknowledged", plan_id=str(delivery.job.plan_id), error=repr(error))

    async def _give_back(self, delivery: _Delivery, delay: float) -> None:
        self._let_go(delivery)
        try:
            for message in delivery.messages.values():
                await message.nak(delay=delay or None)
        except UNAVAILABLE as error:
            _log.info("job.not_given_back", plan_id=str(delivery.job.plan_id), error=repr(error))

    async def _return(self, message: Msg) -> None:
        await message.nak()

    async def _reject(self, message: Msg) -> None:
        await message.term()


def _sequence(message: Msg) -> int:
    return int(message.metadata.sequence.stream)
