"""The generator's use cases: write a plan, end one from outside, say how plans stand, leave in order."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from common import payloads, tracing
from common.contracts import subjects
from common.contracts.errors import ErrorCode
from common.contracts.internal import PlanView
from common.contracts.messages import GenerateJob, Outcome
from common.postgres import UNAVAILABLE
from common.problems import ApiError
from generator import metrics
from generator.announcer import Announcer
from generator.control import ControlDesk
from generator.draft import keep
from generator.grace import Grace
from generator.identity import Claim, Refused
from generator.live_plan import LivePlan
from generator.meter import Meter
from generator.openrouter import OpenRouterService
from generator.publisher import Publisher
from generator.recovery import Limits
from generator.repository import PlanRepository, SaveRepository, ViewRepository
from generator.run import Run
from generator.runs import Runs
from generator.saver import Saver
from generator.settings import Settings
from generator.turns import Turns
from generator.usage import UsageRecorder
from generator.writer import PlanWriter

_log = structlog.get_logger(__name__)

FINISH_SECONDS = 15.0
HAND_OVER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the use cases are made of; `app.py` puts them together."""

    settings: Settings
    plans: PlanRepository
    views: ViewRepository
    saves: SaveRepository
    openrouter: OpenRouterService
    recorder: UsageRecorder
    publisher: Publisher
    announcer: Announcer
    turns: Turns
    runs: Runs
    saver: Saver
    desk: ControlDesk


class GenerationService:
    """Everything that can be done with a plan in this process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        settings = parts.settings
        self._limits = Limits(
            settings.upstream_tries,
            settings.continuations,
            settings.repairs,
            settings.retry_pause_seconds,
            settings.retry_pause_max_seconds,
            settings.streaming_timeout / 1000,
        )

    async def claim(self, job: GenerateJob) -> Run | Refused:
        """Become the owner of a plan, or say why not.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        claim = await self._parts.plans.claim(job, self._parts.settings.attempts)
        if isinstance(claim, Refused):
            _log.debug("claim.refused", plan_id=str(job.plan_id), status=claim.view.status, wait=round(claim.wait, 1))
            return claim
        _log.debug("plan.claimed", plan_id=str(job.plan_id), attempt=claim.attempt, percent=claim.percent)
        if claim.attempt > 1:
            metrics.TAKEOVERS.inc()
            _log.warning("plan.taken_over", plan_id=str(job.plan_id), attempt=claim.attempt)
        run = self._new_run(job, claim)
        self._parts.runs.add(run)
        return run

    def _new_run(self, job: GenerateJob, claim: Claim) -> Run:
        parts, loop = self._parts, asyncio.get_running_loop()
        weeks = job.preferences.weeks
        kept = keep(claim.partial, weeks, complete=False)
        meter = Meter(weeks, started_at=loop.time(), elapsed_ms=claim.elapsed_ms, percent=claim.percent)
        meter.rewind(len(kept.weeks))
        plan = LivePlan(
            claim.plan_id,
            claim.attempt,
            kept,
            meter,
            send=partial(parts.publisher.send, subjects.events(claim.plan_id)),
            clock=loop.time,
            call_later=loop.call_later,
            save_soon=parts.saver.soon,
        )
        follows_viewers = job.mode == "stream" and job.on_disconnect == "abort"
        grace = Grace(
            parts.settings.disconnect_grace_seconds if follows_viewers else -1,
            loop.time(),
            # The one that started it may have left before anybody could hear of it, and others while nobody owned it.
            had_viewers=job.watched or claim.watched,
        )
        return Run(job, claim, plan, parts.plans, grace, parts.recorder.record, parts.announcer.tell)

    async def execute(self, run: Run) -> None:
        """Write the claimed plan to its end."""
        parts, job = self._parts, run.job
        before_read = parts.turns.reader(parts.settings.streaming_chunk_size)
        writer = PlanWriter(parts.openrouter, self._limits, run.record, before_read)
        user = hashlib.sha256(str(job.user_id).encode()).hexdigest()
        streaming = job.mode == "stream"
        try:
            await parts.desk.attach(run)
            with tracing.span("write plan", job.traceparent, plan_id=str(job.plan_id), attempt=run.claim.attempt):
                await run.execute(
                    lambda plan: writer.write(plan, job.preferences, user, streaming=streaming),
                    parts.settings.streaming_timeout / 1000,
                )
            if run.stopped == "shutdown" and run.ending is None:
                await self._hand_over(run)
        finally:
            parts.runs.remove(run)
            parts.desk.detach_later(run)

    async def _hand_over(self, run: Run) -> None:
        """Save, and let the lease go, so that another generator need not wait for it."""
        try:
            await self._parts.saves.save([run.plan.to_save()])
            await self._parts.plans.give_back(run.claim)
        except UNAVAILABLE as error:
            _log.warning("plan.not_handed_over", plan_id=str(run.plan_id), error=repr(error))

    async def generate(self, job: GenerateJob, seconds: float) -> PlanView | None:
        """Write a plan while the caller waits; idempotent by planId. None when it has not ended in time.

        It goes on when the caller has gone: the caller will ask again.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    view = await self._generate_once(job)
                    if view is not None and view.status != "generating":
                        return view
        except TimeoutError:
            return None

    async def _generate_once(self, job: GenerateJob) -> PlanView | None:
        run = self._parts.runs.find(job.plan_id)
        if run is None:
            claimed = await self._begin(job)
            if isinstance(claimed, Refused):
                if claimed.view.status == "generating":
                    await asyncio.sleep(min(claimed.wait + 0.1, 1.0))
                return claimed.view
            run = claimed
        await run.done.wait()
        return await self._parts.views.view(job.plan_id)

    async def _begin(self, job: GenerateJob) -> Run | Refused:
        runs = self._parts.runs
        if not runs.has_room:
            raise ApiError(ErrorCode.UNAVAILABLE, "This generator is full; ask another.", retry_after=1)
        # Others may ask before Postgres has answered.
        with runs.reserved():
            claimed = await self.claim(job)
            if not isinstance(claimed, Refused):
                runs.spawn(self.execute(claimed))
        return claimed

    async def view(self, plan_id: UUID) -> PlanView | None:
        """The stored row, or None."""
        return await self._parts.views.view(plan_id)

    async def query(self, plan_ids: Sequence[UUID], *, watched: bool, brief: bool) -> list[PlanView]:
        """The stored rows of many plans."""
        _log.debug("plans.asked", plans=len(plan_ids), watched=watched, brief=brief)
        return await self._parts.views.views(plan_ids, watched=watched, brief=brief)

    async def cancel(
        self, plan_id: UUID, user_id: UUID, code: ErrorCode | None, weeks: int | None = None
    ) -> PlanView | None:
        """End a plan wherever it runs, also before anybody has claimed it; the first outcome wins.

        `code` None is the user's cancel; otherwise the plan has failed for that reason. `user_id` and `weeks` are for
        a plan that has no row yet.
        """
        run = self._parts.runs.find(plan_id)
        if run is not None and code is None:
            run.stop("cancel")
            try:
                async with asyncio.timeout(FINISH_SECONDS):
                    await run.done.wait()
            except TimeoutError:
                _log.warning("cancel.slow", plan_id=str(plan_id))
            if run.ending is not None:
                return await self.view(plan_id)
        ended_as = "cancelled" if code is None else "error"
        view = await self._parts.plans.end(plan_id, user_id, ended_as, code, only_unowned=code is not None, weeks=weeks)
        if view is not None and view.ended_as is not None:
            self.announce(view)
        return view

    async def erase(self, plan_id: UUID) -> None:
        """Delete what was written, for good."""
        await self._parts.plans.erase(plan_id)

    @property
    def can_announce(self) -> bool:
        """Whether an announcement would go out now."""
        return self._parts.announcer.can_tell

    def announce(self, view: PlanView) -> None:
        """Say again how a plan has ended: to viewers, and to plan-api for settlement."""
        assert view.charge is not None, "a terminal row says what is charged"
        assert view.status != "generating", "only an end is announced"
        if (event := payloads.of_view(view)) is not None:
            self._parts.publisher.event(view.plan_id, event)
        outcome = Outcome(
            plan_id=view.plan_id, attempt=view.attempt, status=view.status, charge=view.charge, code=view.code
        )
        self._parts.announcer.tell(outcome)

    async def drain(self, seconds: float) -> None:
        """Let running plans finish until the deadline, then save the rest and hand them to another generator."""
        runs = self._parts.runs
        await runs.idle(seconds)
        rest = runs()
        for run in rest:
            run.stop("shutdown")
        await runs.idle(HAND_OVER_SECONDS)
        _log.info("drain.done", handed_over=len(rest))
