"""Write one attempt of a plan: upstream calls, one after the other, until the document is whole or nothing helps."""

import asyncio
import random
from datetime import UTC, datetime
from functools import cache
from typing import assert_never

import orjson
import structlog
from pydantic import ValidationError

from common import tracing
from common.contracts.errors import ErrorCode
from common.contracts.inputs import Preferences
from common.contracts.plan import provider_schema, validate_plan
from generator import metrics
from generator.draft import Kept
from generator.identity import Ending, completed, failed
from generator.live_plan import LivePlan
from generator.openrouter import CompletionRequest, OpenRouterService, UpstreamCall, UpstreamError
from generator.plan_parser import ParseError
from generator.prompt import messages_for, repair_messages_for
from generator.recovery import Broken, Call, Complete, Fail, History, Limits, Purpose, Whole, next_step
from generator.repository.calls import CallRecord, RecordCall
from generator.turns import BeforeRead

_log = structlog.get_logger(__name__)

# Made from the model in milliseconds, which every start of a plan would pay; nobody changes it.
_schema = cache(provider_schema)


class PlanWriter:
    """Drives the upstream calls of one attempt. `record` takes each call's costs, whatever became of it."""

    def __init__(
        self,
        service: OpenRouterService,
        limits: Limits,
        record: RecordCall,
        before_read: BeforeRead,
    ) -> None:
        self._service = service
        self._limits = limits
        self._record = record
        self._before_read = before_read

    async def write(self, plan: LivePlan, preferences: Preferences, user: str, *, streaming: bool) -> Ending:
        """Fill the plan; the ending is not stored yet. Cancelling this closes the upstream connection."""
        attempt = _Attempt(self._service, plan, preferences, user, self._record, self._before_read)
        history = History(streaming=streaming)
        purpose: Purpose = "continuation" if plan.draft.kept.document() is not None else _first(streaming)
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            ended = await attempt.call(purpose, streaming=streaming)
            jitter = random.random()  # noqa: S311 - no secret
            history, step = next_step(history, purpose, ended, self._limits, jitter, clock() - began)
            match step:
                case Complete():
                    return completed(plan.document)
                case Fail(code):
                    return failed(code, plan.document)
                case Call(purpose, pause):
                    metrics.NEXT_CALLS.labels(purpose).inc()
                    _log.info("plan.next_call", plan_id=str(plan.plan_id), purpose=purpose, pause=round(pause, 2))
                    await attempt.prepare(purpose, pause)
                case never:
                    assert_never(never)


def _first(streaming: bool) -> Purpose:
    return "stream" if streaming else "sync"


class _Attempt:
    """The calls of one attempt, and what the last one left behind."""

    def __init__(
        self,
        service: OpenRouterService,
        plan: LivePlan,
        preferences: Preferences,
        user: str,
        record: RecordCall,
        before_read: BeforeRead,
    ) -> None:
        self._service = service
        self._before_read = before_read
        self._plan = plan
        self._preferences = preferences
        self._user = user
        self._record = record
        self._invalid: tuple[str, list[str]] = ("", [])

    async def call(self, purpose: Purpose, *, streaming: bool) -> Whole | Broken:
        """Make one call, feed the draft with what it brings, and say how it ended."""
        call = UpstreamCall()
        started = datetime.now(UTC)
        failure: UpstreamError | ParseError | None = None
        try:
            with tracing.span("call OpenRouter", purpose=purpose):
                if streaming and purpose in ("stream", "continuation"):
                    await self._stream(call)
                else:
                    await self._at_once(purpose, call)
        except (UpstreamError, ParseError) as error:
            failure = error
        finally:
            code = None if failure is None else _code(call, failure)
            ended = datetime.now(UTC)
            self._record(CallRecord(self._plan.plan_id, self._plan.attempt, purpose, started, ended, call, code))
        return self._judge(call, failure)

    async def _stream(self, call: UpstreamCall) -> None:
        plan = self._plan
        async with self._service.generate_plan_stream(
            self._request(), call=call, before_read=lambda: self._before_read(stream)
        ) as stream:
            async for chunk in stream:
                plan.feed(chunk.text)

    async def _at_once(self, purpose: Purpose, call: UpstreamCall) -> None:
        repair = purpose == "repair"
        completion = await self._service.generate_plan(self._repair() if repair else self._request(), call=call)
        if repair:
            # Only now: until the better document is here, viewers keep the one they have.
            self._plan.restart(Kept(), "validating")
        self._plan.feed(completion.text)

    def _request(self) -> CompletionRequest:
        task = self._plan.draft.kept.task(self._plan.meter.weeks_total)
        return self._completion(messages_for(self._preferences, task), summary=task.summary)

    def _repair(self) -> CompletionRequest:
        text, problems = self._invalid
        task = Kept().task(self._plan.meter.weeks_total)
        return self._completion(repair_messages_for(self._preferences, task, text, problems), summary=True)

    def _completion(self, messages: list[dict[str, str]], *, summary: bool) -> CompletionRequest:
        return CompletionRequest(
            messages=messages,
            session_id=str(self._plan.plan_id),
            user=self._user,
            schema=_schema(summary=summary),
        )

    def _judge(self, call: UpstreamCall, failure: UpstreamError | ParseError | None) -> Whole | Broken:
        plan = self._plan
        whole = plan.draft.complete and not isinstance(failure, ParseError)
        if failure is not None or not whole:
            self._log_break(call, failure)
        if whole:
            return Whole(self._validate())
        kept = plan.draft.keep()
        if kept.is_whole(plan.meter.weeks_total):
            # It broke behind the last week: there is nothing left to ask for.
            plan.restart(kept, "validating")
            return Whole(self._validate())
        progressed = len(kept.weeks) > len(plan.draft.kept.weeks)
        code = _code(call, failure)
        if isinstance(failure, UpstreamError):
            return Broken(code, failure.retryable, plan.grown, progressed, failure.retry_after)
        # A budget used up before any content will be used up again.
        return Broken(code, plan.grown or call.finish_reason != "length", plan.grown, progressed)

    def _log_break(self, call: UpstreamCall, failure: UpstreamError | ParseError | None) -> None:
        """The one place where upstream's own words are said."""
        metrics.BROKEN_CALLS.labels(_code(call, failure)).inc()
        _log.warning(
            "plan.call_broken",
            plan_id=str(self._plan.plan_id),
            attempt=self._plan.attempt,
            code=_code(call, failure),
            offset=failure.offset if isinstance(failure, ParseError) else call.chars,
            reason=str(failure or f"no whole document, finish_reason {call.finish_reason}"),
        )

    def _validate(self) -> bool:
        plan = self._plan
        plan.enter("validating")
        document = plan.document
        try:
            validate_plan(document, plan.meter.weeks_total)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:10]]
            self._invalid = (orjson.dumps(document).decode(), problems)
            _log.warning("plan.invalid", plan_id=str(plan.plan_id), attempt=plan.attempt, code="invalid_plan")
            return False
        plan.meter.finish()
        return True

    async def prepare(self, purpose: Purpose, pause: float) -> None:
        """Get the draft ready for the next call, then wait out the pause."""
        plan = self._plan
        if purpose == "repair":
            plan.enter("validating")
        elif plan.grown:
            plan.restart(plan.draft.keep(), "retrying")
        else:
            plan.answer_anew()
            plan.enter("retrying")
        await asyncio.sleep(pause)


def _code(call: UpstreamCall, failure: UpstreamError | ParseError | None) -> ErrorCode:
    if isinstance(failure, UpstreamError):
        return failure.code
    # Who says to have finished, and has not written a document, was not cut off.
    cut_off = failure is None and call.finish_reason == "length"
    return ErrorCode.UPSTREAM_ERROR if cut_off else ErrorCode.INVALID_PLAN
