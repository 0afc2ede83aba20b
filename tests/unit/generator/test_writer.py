"""One attempt's calls with a scripted upstream: when another call is made, and when none is needed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

import orjson
import pytest
import structlog

from common.contracts.errors import ErrorCode
from common.contracts.inputs import Preferences
from common.contracts.plan import DAYS
from generator.draft import Kept
from generator.identity import Ending
from generator.live_plan import LivePlan
from generator.meter import Meter
from generator.openrouter import (
    Completion,
    CompletionRequest,
    OpenRouterService,
    StreamChunk,
    UpstreamCall,
    UpstreamError,
)
from generator.recovery import Limits
from generator.repository.calls import CallRecord
from generator.turns import Turns
from generator.writer import PlanWriter

WEEKS: list[dict[str, Any]] = [
    {"week": number, "focus": "x", "goals": ["y"], "daily_tasks": {day: [] for day in DAYS}} for number in (1, 2, 3, 4)
]
PLAN = {"monthly_summary": "All of it.", "weekly_breakdown": WEEKS}
TEXT = orjson.dumps(PLAN).decode()
AFTER_TWO = TEXT[: TEXT.index('{"week":3') + 20]
CUT_OFF = UpstreamError(ErrorCode.UPSTREAM_ERROR, "cut off", retryable=True)

Answer = tuple[str, str | UpstreamError]


class Upstream:
    """Gives each call its answer: a text, and the finish reason or the failure that follows."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.requests: list[CompletionRequest] = []
        self._answers = iter(answers)

    @asynccontextmanager
    async def generate_plan_stream(
        self, request: CompletionRequest, *, call: UpstreamCall, before_read: object
    ) -> AsyncIterator[AsyncIterator[StreamChunk]]:
        """A stream of one chunk."""
        yield self._chunks(request, call)

    async def _chunks(self, request: CompletionRequest, call: UpstreamCall) -> AsyncIterator[StreamChunk]:
        self.requests.append(request)
        text, end = next(self._answers)
        call.chars = len(text)
        if text:
            yield StreamChunk(text)
        if isinstance(end, UpstreamError):
            raise end
        call.finish_reason = end

    async def generate_plan(self, request: CompletionRequest, *, call: UpstreamCall) -> Completion:
        """A whole answer."""
        text = "".join([chunk.text async for chunk in self._chunks(request, call)])
        return Completion(text, call)


async def write(
    *answers: Answer,
    limits: Limits = Limits(first_pause=0),  # noqa: B008 - frozen
    kept: Kept = Kept(),  # noqa: B008 - frozen
) -> tuple[Ending, Upstream, list[CallRecord]]:
    """Write a plan of four weeks with these answers, on what is kept of an earlier attempt."""
    upstream, records = Upstream(answers), list[CallRecord]()
    loop = asyncio.get_running_loop()
    plan = LivePlan(
        uuid4(),
        1,
        kept,
        Meter(4, started_at=loop.time()),
        send=lambda _: None,
        clock=loop.time,
        call_later=loop.call_later,
        save_soon=lambda: None,
    )
    writer = PlanWriter(cast("OpenRouterService", upstream), limits, records.append, Turns(lambda: 0.0).reader(1024))
    ending = await writer.write(plan, Preferences(goals="x"), "user", streaming=True)
    return ending, upstream, records


def asked(request: CompletionRequest) -> Any:
    """The task of a request."""
    text = request.messages[-1]["content"]
    return orjson.loads(text[text.rindex("<task>") + 6 : text.rindex("</task>")])


async def test_a_break_behind_the_last_week_needs_no_other_call() -> None:
    """Nothing is missing but brackets: the plan is complete, and is not paid for twice."""
    for answer in ((TEXT[:-2], CUT_OFF), (TEXT[:-2] + ",]}", "stop"), (TEXT[:-1], "length")):
        ending, upstream, _ = await write(answer)
        assert (ending.end.status, ending.end.document) == ("completed", PLAN)
        assert len(upstream.requests) == 1


async def test_a_continuation_asks_for_the_rest() -> None:
    """After two weeks: the third and the fourth, without the summary."""
    rest = orjson.dumps({"weekly_breakdown": WEEKS[2:]}).decode()
    ending, upstream, records = await write((AFTER_TWO, CUT_OFF), (rest, "stop"))
    assert (ending.end.status, ending.end.document) == ("completed", PLAN)
    assert asked(upstream.requests[1]) == {"summary": False, "weeks": [3, 4]}
    assert [record.purpose for record in records] == ["stream", "continuation"]
    assert [record.error_code for record in records] == ["upstream_error", None]


async def test_an_answer_that_ends_and_is_no_document_is_an_invalid_plan() -> None:
    """The model says that it has finished: that is not upstream's failure."""
    ending, upstream, _ = await write(*[("I would rather not.", "stop")] * 4)
    assert (ending.end.status, ending.end.code) == ("failed", ErrorCode.INVALID_PLAN)
    assert len(upstream.requests) == 4


async def test_a_wait_that_is_too_long_ends_the_plan_with_its_reason() -> None:
    """Retry-After beyond the attempt's end is not waited for."""
    limited = UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED, "later", retryable=True, retry_after=600)
    ending, upstream, _ = await write(("", limited))
    assert (ending.end.status, ending.end.code, ending.charge) == (
        "failed",
        ErrorCode.UPSTREAM_RATE_LIMITED,
        "released",
    )
    assert len(upstream.requests) == 1


async def test_every_broken_call_is_one_log_line() -> None:
    """Also that of a repair, behind which the old document still stands: code, offset and upstream's words."""
    with structlog.testing.capture_logs() as lines:
        await write(('{"title": "x"}', "stop"), ("", CUT_OFF))
    (broken,) = [line for line in lines if line["event"] == "plan.call_broken"]
    assert (broken["code"], broken["offset"], broken["attempt"]) == ("upstream_error", 0, 1)
    assert "cut off" in broken["reason"]


@pytest.mark.parametrize("begun", ["{", '{"weekly_', '{"weekly_breakdown":['])
async def test_an_answer_that_breaks_before_it_shows_anything_leaves_nothing_behind(begun: str) -> None:
    """On what was kept the first brackets change nothing, but the next answer begins anew."""
    rest = orjson.dumps({"weekly_breakdown": WEEKS[2:]}).decode()
    ending, upstream, _ = await write((begun, CUT_OFF), (rest, "stop"), kept=Kept("All of it.", tuple(WEEKS[:2])))
    assert (ending.end.status, ending.end.document) == ("completed", PLAN)
    assert [asked(request)["weeks"] for request in upstream.requests] == [[3, 4], [3, 4]]
