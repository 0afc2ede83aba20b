"""Keep one channel fed: the subscriptions, the question to the owner, and the stored row when no owner answers.

The order is the point (DESIGN section 6, rule 5): the subscription first, then the request for the state on the same
connection, which so becomes the barrier behind it; the row is read only after the owner's answer or silence.
"""

import asyncio
import random
from dataclasses import dataclass
from uuid import UUID

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from common import direct
from common.broker import UNAVAILABLE, Broker
from common.contracts import subjects
from common.contracts.messages import ControlRequest, ViewersReply
from common.generator_client import GeneratorClient, GeneratorUnavailableError
from common.lag import LoopLag
from stream_gateway import metrics
from stream_gateway.channel import Channel
from stream_gateway.owned_tasks import OwnedTasks
from stream_gateway.plan_event import event_of_view

_log = structlog.get_logger(__name__)

OWNER_SECONDS = 0.3
# A gap that no snapshot closes is asked about again after these pauses, and anew when an event comes into it; then it
# is the watchdog's.
MEND_PAUSES = (0.1, 0.3, 0.8, 2.0)


@dataclass(frozen=True, slots=True)
class Line:
    """What every attachment of a gateway uses."""

    broker: Broker
    generators: GeneratorClient
    tasks: OwnedTasks
    lag: LoopLag


class Attachment:
    """One channel and its connection to the world."""

    def __init__(self, plan_id: UUID, line: Line) -> None:
        self.channel = Channel(plan_id, self._on_gap, asyncio.get_running_loop().time)
        self.retired = False
        self._line = line
        self._events: Subscription | None = None
        self._viewers: Subscription | None = None
        self._asking: asyncio.Task[None] | None = None

    @property
    def subscribed(self) -> bool:
        """Whether events can arrive; over reconnects nats-py keeps the subscription."""
        return self._viewers is not None

    def _on_gap(self, _: Channel) -> None:
        if self.channel.at is not None and not self._is_asking:
            metrics.GAPS.inc()
        self.ask()

    def ask(self) -> None:
        """Find out how the plan stands: one question at a time for each plan."""
        if self.retired or self.channel.ended or self._is_asking:
            return
        self._asking = self._line.tasks.spawn(self._mend(), f"ask {self.channel.plan_id}")

    @property
    def _is_asking(self) -> bool:
        return self._asking is not None and not self._asking.done()

    async def _mend(self) -> None:
        await self._subscribe()
        for pause in MEND_PAUSES:
            if not await self._ask_owner():
                await self.read_row()
            if self.retired or not self.channel.gapped:
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _subscribe(self) -> None:
        broker, plan_id = self._line.broker, self.channel.plan_id
        if not broker.connected or self.subscribed:
            return
        try:
            if self._events is None:
                self._events = await direct.subscribe(broker.client, subjects.events(plan_id), self._on_event)
            self._viewers = await broker.client.subscribe(subjects.viewers(plan_id), cb=self._on_viewers_asked)
        except UNAVAILABLE as error:
            _log.warning("attach.subscribe_failed", plan_id=str(plan_id), error=repr(error))

    def _on_event(self, data: bytes) -> None:
        self.channel.receive(data)

    async def _on_viewers_asked(self, message: Msg) -> None:
        count = len(self.channel.viewers)
        if count and message.reply:
            reply = ViewersReply(viewers=count, lag_ms=round(self._line.lag.milliseconds, 1))
            await message.respond(reply.to_json())

    async def _ask_owner(self) -> bool:
        """Whether the owner answered with something of use."""
        broker = self._line.broker
        if not broker.connected:
            return False
        asked_at = asyncio.get_running_loop().time()
        try:
            reply = await broker.client.request(subjects.state(self.channel.plan_id), b"", timeout=OWNER_SECONDS)
        except UNAVAILABLE as error:
            _log.debug("attach.owner_silent", plan_id=str(self.channel.plan_id), error=repr(error))
            return False
        useful = self.channel.receive(reply.data)
        _log.debug("attach.owner_answered", plan_id=str(self.channel.plan_id), useful=useful)
        if useful:
            self.channel.be_sure(asked_at, of_owner=True)
        return useful

    async def read_row(self) -> None:
        """Take the stored row for the state, if it is newer."""
        asked_at = asyncio.get_running_loop().time()
        try:
            view = await self._line.generators.view(self.channel.plan_id)
        except GeneratorUnavailableError:
            self.channel.say("unanswered")
            return
        event = None if view is None else event_of_view(view)
        _log.debug("attach.row_read", plan_id=str(self.channel.plan_id), found=view is not None)
        if event is None:
            self.channel.say("claimed" if view is not None and view.attempt else "unknown")
        else:
            self.channel.take(event)
        self.channel.be_sure(asked_at, of_owner=False)

    async def retire(self, *, left: bool, linger: float) -> None:
        """The last viewer has gone: say so, linger, and let go. Never called from a subscription's own callback."""
        try:
            if self._viewers is not None:
                # First, so that an owner that asks because of `left` hears "no responders" from us.
                viewers, self._viewers = self._viewers, None
                await viewers.unsubscribe()
            if left and self._line.broker.connected:
                control = subjects.control(self.channel.plan_id)
                await self._line.broker.client.publish(control, ControlRequest(command="left").to_json())
            await asyncio.sleep(linger)
            if self._asking is not None:
                await asyncio.wait({self._asking})
            for subscription in filter(None, (self._events, self._viewers)):
                await subscription.unsubscribe()
        except UNAVAILABLE as error:
            _log.info("attach.retire_failed", plan_id=str(self.channel.plan_id), error=repr(error))
