"""Is anybody watching? The clock of DISCONNECT_GRACE_SECONDS, and the poll that starts it."""

import asyncio
from collections.abc import Callable, Iterable

import nats.errors
import structlog
from pydantic import ValidationError

from common.broker import UNAVAILABLE, Broker
from common.contracts import subjects
from common.contracts.messages import ViewersReply
from generator.run import Run

_log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
REPLY_SECONDS = 1.0
AT_ONCE = 50


class PresenceMonitor:
    """Polls the gateways about plans that end with their viewers, and stops those that nobody watches."""

    def __init__(self, broker: Broker, running: Callable[[], Iterable[Run]], hear_lag: Callable[[float], None]) -> None:
        """Args: `hear_lag` takes the seconds by which a gateway that has viewers is behind."""
        self._broker = broker
        self._running = running
        self._hear_lag = hear_lag

    async def run(self) -> None:
        """Look at all plans at each tick, for ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self._broker.connected:
                continue
            now = asyncio.get_running_loop().time()
            due = [run for run in self._running() if run.grace.due(now)]
            await asyncio.gather(*(self._ask(run) for run in due[:AT_ONCE]))

    def outage_over(self) -> None:
        """NATS was away, so nobody could say that they watch: every clock starts again."""
        for run in self._running():
            run.grace.restart(asyncio.get_running_loop().time())

    async def _ask(self, run: Run) -> None:
        loop = asyncio.get_running_loop()
        try:
            reply = await self._broker.client.request(subjects.viewers(run.plan_id), b"", timeout=REPLY_SECONDS)
        except nats.errors.NoRespondersError:
            run.grace.nobody(loop.time())
        except nats.errors.TimeoutError:
            run.grace.silence(loop.time())
        except UNAVAILABLE as error:
            _log.info("presence.unknown", plan_id=str(run.plan_id), error=repr(error))
            return
        else:
            run.grace.somebody(loop.time())
            self._hear(reply.data)
        if run.grace.expired(loop.time()):
            _log.info("plan.unwatched", plan_id=str(run.plan_id))
            run.stop("disconnected")

    def _hear(self, data: bytes) -> None:
        try:
            reply = ViewersReply.model_validate_json(data)
        except ValidationError as error:
            _log.warning("presence.unreadable", error=repr(error))
        else:
            self._hear_lag(reply.lag_ms / 1000)
