"""The news for plan-api that plans have ended: on the outcomes stream, several at a time.

Rule 6: what is lost on the way stays unmarked in the plan's row, and the sweeper says it again.
"""

import asyncio

import structlog
from nats.js.errors import NoStreamResponseError

from common.broker import OUTCOMES, UNAVAILABLE, Broker
from common.contracts import subjects
from common.contracts.messages import Outcome
from common.postgres import UNAVAILABLE as POSTGRES_UNAVAILABLE
from generator.repository import PlanRepository

_log = structlog.get_logger(__name__)

# From the first end of a batch on. Settling can wait so long: after many cancels at once those who wait for their
# answer come first. The sweeper takes nothing for forgotten that is younger than its own grace.
LINGER_SECONDS = 0.25


class Announcer:
    """`tell` never waits and never raises: a plan whose end is stored has ended, whoever hears of it."""

    def __init__(self, broker: Broker, repository: PlanRepository) -> None:
        self._broker = broker
        self._repository = repository
        self._waiting: list[Outcome] = []
        self._wake = asyncio.Event()

    @property
    def can_tell(self) -> bool:
        """Whether anybody would hear it now."""
        return self._broker.connected

    def tell(self, outcome: Outcome) -> None:
        """Announce a stored end soon."""
        self._waiting.append(outcome)
        self._wake.set()

    async def run(self) -> None:
        """Announce what waits, for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(LINGER_SECONDS)
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Announce at once what waits, and mark what the stream has taken."""
        outcomes, self._waiting = self._waiting, []
        if not outcomes or not self._broker.connected:
            return
        taken = await asyncio.gather(*map(self._announce, outcomes))
        plan_ids = [outcome.plan_id for outcome, is_taken in zip(outcomes, taken, strict=True) if is_taken]
        if not plan_ids:
            return
        try:
            await self._repository.mark_announced(plan_ids)
        except POSTGRES_UNAVAILABLE as error:
            _log.warning("outcomes.not_marked", plans=len(plan_ids), error=repr(error))

    async def _announce(self, outcome: Outcome) -> bool:
        try:
            try:
                await self._put(outcome)
            except NoStreamResponseError:
                # A fresh broker, or one that has lost its store.
                await self._broker.ensure_stream(OUTCOMES)
                await self._put(outcome)
        except UNAVAILABLE as error:
            _log.warning("outcome.not_announced", plan_id=str(outcome.plan_id), error=repr(error))
            return False
        return True

    async def _put(self, outcome: Outcome) -> None:
        message_id = f"{outcome.plan_id}.{outcome.attempt}"
        await self._broker.jetstream.publish(
            subjects.outcome(outcome.plan_id), outcome.to_json(), headers={"Nats-Msg-Id": message_id}
        )
