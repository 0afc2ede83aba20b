"""What a plan's owner answers over NATS: how it stands, and cancel. Subscriptions live as long as the run."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from pydantic import ValidationError

from common.broker import UNAVAILABLE, Broker
from common.contracts import subjects
from common.contracts.messages import ControlReply, ControlRequest
from generator.publisher import Publisher
from generator.run import Run
from generator.turns import Turns

_log = structlog.get_logger(__name__)

# After the end the state reply is the terminal event; later viewers read Postgres over HTTP.
LINGER_SECONDS = 5.0


class ControlDesk:
    """Subscribes each run to its state and control subjects."""

    def __init__(
        self, broker: Broker, publisher: Publisher, turns: Turns, running: Callable[[], Iterable[Run]]
    ) -> None:
        self._broker = broker
        self._publisher = publisher
        self._turns = turns
        self._running = running
        self._subscriptions: dict[Run, list[Subscription]] = {}
        self._leaving: deque[tuple[float, Run]] = deque()
        self._connected = asyncio.Event()

    async def attach(self, run: Run) -> None:
        """Answer for this plan; while NATS is away this is made good when it is back."""
        if not self._broker.connected or run in self._subscriptions:
            return
        client = self._broker.client
        subscriptions: list[Subscription] = []
        self._subscriptions[run] = subscriptions
        try:
            subscriptions.append(await client.subscribe(subjects.state(run.plan_id), cb=self._on_state(run)))
            subscriptions.append(await client.subscribe(subjects.control(run.plan_id), cb=self._on_control(run)))
        except UNAVAILABLE as error:
            # Made good when the connection stands again.
            _log.warning("control.not_attached", plan_id=str(run.plan_id), error=repr(error))
            await self._detach(run)

    def detach_later(self, run: Run) -> None:
        """The run has ended; go on answering for a while."""
        self._leaving.append((asyncio.get_running_loop().time() + LINGER_SECONDS, run))

    def connection_stands(self) -> None:
        """NATS is there (again): attach what was claimed without it."""
        self._connected.set()

    async def run(self) -> None:
        """Let go of ended runs and pick up unattached ones, for ever."""
        while True:
            await asyncio.sleep(0.5)
            if self._connected.is_set():
                self._connected.clear()
                for run in list(self._running()):
                    await self.attach(run)
            now = asyncio.get_running_loop().time()
            while self._leaving and self._leaving[0][0] <= now:
                _, run = self._leaving.popleft()
                await self._detach(run)

    async def _detach(self, run: Run) -> None:
        for subscription in self._subscriptions.pop(run, []):
            try:
                await subscription.unsubscribe()
            except UNAVAILABLE as error:
                _log.info("control.unsubscribe_failed", plan_id=str(run.plan_id), error=repr(error))

    def _on_state(self, run: Run) -> "Callable[[Msg], asyncio.Future[None]]":
        async def reply(message: Msg) -> None:
            # Through the publisher's queue, so that the events before it have gone out.
            silent = run.plan.suspect and not run.plan.ended
            _log.debug("state.asked", plan_id=str(run.plan_id), seq=run.plan.seq, answered=not silent)
            if message.reply and not silent:
                self._publisher.send(message.reply, run.plan.state())

        return reply  # type: ignore[return-value]  # nats-py asks for any awaitable

    def _on_control(self, run: Run) -> "Callable[[Msg], asyncio.Future[None]]":
        async def obey(message: Msg) -> None:
            try:
                request = ControlRequest.model_validate_json(message.data)
            except ValidationError as error:
                _log.warning("control.malformed", plan_id=str(run.plan_id), error=str(error))
                return
            _log.debug("control.heard", plan_id=str(run.plan_id), command=request.command)
            if request.command == "left":
                run.grace.left(asyncio.get_running_loop().time())
                return
            run.stop("cancel")
            with self._turns.given_way():
                await run.done.wait()
            if message.reply and run.ending is not None:
                self._publisher.send(message.reply, ControlReply(status=run.ending.end.status).to_json())

        return obey  # type: ignore[return-value]  # as above
