"""One attempt at a plan in this process, from the claim to the stored outcome."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal, assert_never
from uuid import UUID, uuid4

import structlog

from common import payloads
from common.contracts.errors import ErrorCode
from common.contracts.messages import GenerateJob, Outcome
from common.postgres import UNAVAILABLE
from common.tasks import end
from generator import metrics
from generator.grace import Grace
from generator.identity import Claim, Ending, cancelled, failed
from generator.live_plan import LivePlan
from generator.openrouter import UpstreamCall
from generator.repository import PlanRepository
from generator.repository.calls import CallRecord, RecordCall
from generator.usage import total

_log = structlog.get_logger(__name__)

StopReason = Literal["cancel", "disconnected", "broken", "fenced", "shutdown"]
Write = Callable[[LivePlan], Awaitable[Ending]]

STORE_PAUSE = 0.2
LONGEST_STORE_PAUSE = 2.0


class Run:
    """Owns an attempt. `stop` ends it from outside; `done` is set once the outcome is stored, or is not ours."""

    def __init__(
        self,
        job: GenerateJob,
        claim: Claim,
        plan: LivePlan,
        repository: PlanRepository,
        grace: Grace,
        record: RecordCall,
        announce: Callable[[Outcome], None],
    ) -> None:
        self.job = job
        self.claim = claim
        self.plan = plan
        self.grace = grace
        self.calls: list[UpstreamCall] = list(claim.calls)
        self.done = asyncio.Event()
        self.ending: Ending | None = None
        self._claimed_at = asyncio.get_running_loop().time()
        self._stopped_at = 0.0
        self._stop: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()
        self._repository = repository
        self._record = record
        self._announce = announce

    @property
    def plan_id(self) -> UUID:
        """Which plan."""
        return self.claim.plan_id

    @property
    def stopped(self) -> StopReason | None:
        """Why it was stopped from outside, if it was."""
        return self._stop.result() if self._stop.done() else None

    def record(self, record: CallRecord) -> None:
        """An upstream call of this attempt has ended."""
        self.calls.append(record.call)
        self._record(record)

    def stop(self, reason: StopReason) -> None:
        """End the attempt; the first reason counts."""
        if not self._stop.done():
            self._stopped_at = asyncio.get_running_loop().time()
            self._stop.set_result(reason)

    async def execute(self, write: Write, seconds: float) -> Ending | None:
        """Write the plan and store how it ended; None when the outcome is not ours to store.

        The upstream connection is closed before anything is stored: that is what a cancel is for.
        """
        try:
            ending = await self._write(write, seconds)
            if ending is None or not await self._store(ending):
                self.plan.silence()
                return None
            self.ending = ending
            self._measure(ending)
        finally:
            self.done.set()
        self._announce(self._outcome(ending))
        return ending

    async def _write(self, write: Write, seconds: float) -> Ending | None:
        self.plan.open()
        writing = asyncio.ensure_future(write(self.plan))
        try:
            async with asyncio.timeout(seconds):
                either: set[asyncio.Future[Any]] = {writing, self._stop}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if writing.done():
                    return self._written(writing)
        except TimeoutError:
            return failed(ErrorCode.UPSTREAM_TIMEOUT, self.plan.document)
        finally:
            await _end(writing)
        return self._stopped()

    def _written(self, writing: "asyncio.Future[Ending]") -> Ending:
        error = writing.exception()
        if error is None:
            return writing.result()
        _log.error("plan.crashed", plan_id=str(self.plan_id), attempt=self.claim.attempt, exc_info=error)
        return failed(ErrorCode.INTERNAL, self.plan.document)

    def _stopped(self) -> Ending | None:
        match self.stopped:
            case "cancel":
                return cancelled(self.plan.document)
            case "disconnected":
                return failed(ErrorCode.CLIENT_DISCONNECTED, self.plan.document)
            case "broken":
                return failed(ErrorCode.INTERNAL, None)
            case "fenced" | "shutdown" | None:
                return None
            case never:
                assert_never(never)

    async def _store(self, ending: Ending) -> bool:
        """Try until Postgres says yes or no: an outcome that is not stored is never announced."""
        seq = self.plan.seq + 1
        progress = self.plan.meter.read(
            asyncio.get_running_loop().time(), ended=True, complete=ending.end.ended_as == "complete"
        )
        usage = total(self.calls, all_known=self.claim.attempt == 1)
        outcome_id = uuid4()
        pause = STORE_PAUSE
        while True:
            try:
                stored = await self._repository.finish(self.claim, ending, seq, progress, usage, outcome_id)
            except UNAVAILABLE as error:
                _log.warning("plan.not_stored_yet", plan_id=str(self.plan_id), error=repr(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
                pause = min(pause * 2, LONGEST_STORE_PAUSE)
                continue
            if stored:
                payload = payloads.terminal(self.plan_id, self.claim.attempt, seq, ending.end, usage, progress)
                self.plan.end(payload, seq)
            log = _log.warning if ending.end.ended_as == "error" or not stored else _log.info
            log(
                "plan.ended" if stored else "plan.fenced",
                plan_id=str(self.plan_id),
                attempt=self.claim.attempt,
                status=ending.end.status,
                code=ending.end.code,
                offset=self.plan.meter.chars,
            )
            if not stored:
                metrics.FENCED.inc()
            return stored

    def _measure(self, ending: Ending) -> None:
        now, end = asyncio.get_running_loop().time(), ending.end
        metrics.ENDED.labels(end.status, end.code or "none").inc()
        metrics.GENERATION.labels(end.status).observe(now - self._claimed_at)
        if self.stopped == "cancel":
            metrics.CANCEL.observe(now - self._stopped_at)

    def _outcome(self, ending: Ending) -> Outcome:
        return Outcome(
            plan_id=self.plan_id,
            attempt=self.claim.attempt,
            status=ending.end.status,
            charge=ending.charge,
            code=ending.end.code,
        )


async def _end(writing: "asyncio.Future[Ending]") -> None:
    await end(writing)
    if not writing.cancelled():
        writing.exception()  # looked at, so that asyncio does not report it as lost
