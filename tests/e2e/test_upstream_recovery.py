"""Continuation, fallback, repair, cancel and the deadline, with upstream's own record of what it was asked."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from common.contracts.plan import provider_schema, validate_plan
from testkit import OpenStack, User, Viewer
from testkit.upstream import BRISK, Upstream
from testkit.upstream_cases import (
    COMPLETED,
    Calls,
    End,
    Outcome,
    always,
    failed,
    http,
    once,
    pattern,
    short_plan,
    text_of,
)

PLAN = short_plan()
TEXT = text_of(PLAN)
TOKEN = 8
# In the middle of the third week's focus, in tokens.
CUT = (TEXT.index('"week":3') + 40) // TOKEN
# Slow enough for other viewers to join on the way.
TWO_WEEKS = {"content": TEXT, "chars_per_token": TOKEN, "tokens_per_second": 150}

DEADLINE_SECONDS = 6.0
ENVIRONMENT = BRISK | {"STREAMING_TIMEOUT": str(int(DEADLINE_SECONDS * 1000))}

CANCELLED_BEFORE = End("cancelled", None, "failed", 0)
CANCELLED_AFTER = End("cancelled", None, "partial", 1)


@pytest.fixture(scope="module")
async def upstream(open_stack: OpenStack) -> AsyncIterator[Upstream]:
    """A stack of this module's own."""
    async with open_stack(ENVIRONMENT) as stack, Upstream.of(stack) as opened:
        yield opened


def block(request: dict[str, Any], name: str) -> Any:
    """The last block of that name in a recorded prompt."""
    return json.loads(re.findall(f"<{name}>(.*?)</{name}>", request["prompt"], re.DOTALL)[-1])


def schema(request: dict[str, Any]) -> Any:
    """The JSON schema that the answer was to have."""
    return request["body"]["response_format"]["json_schema"]["schema"]


class Witness:
    """Follows a plan, and remembers the completed weeks that it held after each event."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.held: list[list[Any]] = []

    def __call__(self, event: Any) -> bool:
        """For `until`."""
        done = event.data.get("progress", {}).get("weeksCompleted", 0)
        self.held.append(list(self.viewer.plan["weekly_breakdown"][:done]) if done else [])
        return False

    def check(self) -> None:
        """The completed weeks only grew, and none changed."""
        for before, after in zip(self.held, [*self.held[1:], self.viewer.plan["weekly_breakdown"]], strict=True):
            assert after[: len(before)] == before
        assert {len(weeks) for weeks in self.held} >= {2, 3, 4}


@pytest.mark.parametrize(
    "breaks",
    [
        {"eof_after_tokens": CUT},
        {"eof_after_tokens": CUT, "eof_framing": "cut"},
        {"reset_after_tokens": CUT},
        {"length_after_tokens": CUT},
        {"stream_error": {"shape": "empty_choices", "after_tokens": CUT}},
        {"stall_after_tokens": CUT, "stall_comments": True},
    ],
    ids=lambda breaks: next(iter(breaks)),
)
async def test_continuation_asks_for_what_is_missing(upstream: Upstream, breaks: dict[str, Any]) -> None:
    """After two of four weeks: exactly weeks 3 and 4 are asked for, and no viewer loses a week on the way."""
    async with User.at(upstream.stack.gateway) as user:
        first = user.viewer()
        witnesses = [Witness(first)]
        joined: list[asyncio.Task[None]] = []

        def until(event: Any) -> bool:
            if not joined and event.name == "progress" and event.data["ops"]:
                for params in ({}, {"mode": "snapshot"}):
                    witnesses.append(Witness(user.viewer(first.plan_id)))
                    joined.append(asyncio.create_task(witnesses[-1].viewer.watch(witnesses[-1], **params)))
            return witnesses[0](event)

        await first.start(await upstream.scripted(user, (once(**TWO_WEEKS, **breaks),)), until)
        await asyncio.gather(*joined)
        outcome = await upstream.outcome(user, first)
    await upstream.audit([outcome])
    assert (outcome.sees, outcome.end) == ("cswkwvC", COMPLETED)
    assert (outcome.purposes, outcome.sources) == ("stream continuation", "pp")

    asked, continued = outcome.requests
    assert block(asked, "task") == {"summary": True, "weeks": [1, 2, 3, 4]}
    assert block(continued, "task") == {"summary": False, "weeks": [3, 4]}
    kept = {"monthly_summary": PLAN["monthly_summary"], "weekly_breakdown": PLAN["weekly_breakdown"][:2]}
    assert block(continued, "kept") == kept
    assert schema(asked) == provider_schema()
    assert schema(continued) == provider_schema(summary=False)
    assert list(schema(continued)["properties"]) == schema(continued)["required"] == ["weekly_breakdown"]
    assert continued["body"]["stream"] is True
    assert continued["body"]["session_id"] == asked["body"]["session_id"] == str(outcome.plan_id)

    validate_plan(outcome.plan, 4)
    assert outcome.plan["monthly_summary"] == PLAN["monthly_summary"]
    assert outcome.plan["weekly_breakdown"][:2] == PLAN["weekly_breakdown"][:2]
    for witness in witnesses:
        assert witness.viewer.plan == outcome.plan
    for witness in witnesses[:2]:
        witness.check()


async def test_the_fallback_is_one_call_without_streaming(upstream: Upstream) -> None:
    """It keeps what was kept, asks for the rest, and is asked of upstream without `stream`."""
    outcome = await upstream.play((once(**TWO_WEEKS, eof_after_tokens=CUT), Calls({"eof_after_tokens": 0}, 3)))
    await upstream.audit([outcome])
    assert (outcome.sees, outcome.end) == ("cswkwvC", COMPLETED)
    assert outcome.purposes == "stream continuation continuation continuation fallback"
    assert [request["body"]["stream"] for request in outcome.requests] == [True] * 4 + [False]
    assert block(outcome.requests[-1], "task") == {"summary": False, "weeks": [3, 4]}
    assert outcome.plan["weekly_breakdown"][:2] == PLAN["weekly_breakdown"][:2]


async def test_what_is_kept_stays_readable_when_all_fails(upstream: Upstream) -> None:
    """The error event and the stored row carry the two weeks, though they cost nothing."""
    outcome = await upstream.play((once(**TWO_WEEKS, eof_after_tokens=CUT), always(http_error={"status": 503})))
    await upstream.audit([outcome])
    assert (outcome.sees, outcome.end) == ("cswkE", failed("upstream_error"))
    assert outcome.purposes == "stream continuation continuation continuation fallback"
    assert outcome.plan == {
        "monthly_summary": PLAN["monthly_summary"],
        "weekly_breakdown": PLAN["weekly_breakdown"][:2],
    }


async def test_a_repair_shows_what_was_wrong(upstream: Upstream) -> None:
    """One call, without streaming, with the answer and the problems; viewers keep the old text meanwhile."""
    outcome = await upstream.play((once(form="invalid_plan"),))
    await upstream.audit([outcome])
    assert (outcome.sees, outcome.end, outcome.purposes) == ("cswvnwvC", COMPLETED, "stream repair")
    repair = outcome.requests[1]
    assert block(repair, "task") == {"summary": True, "weeks": [1, 2, 3, 4]}
    assert '"24:30"' in block(repair, "invalid")
    assert any("end_time" in problem for problem in block(repair, "problems"))
    assert repair["body"]["stream"] is False


async def test_what_cannot_be_stored_is_replaced(upstream: Upstream) -> None:
    """NUL and half a surrogate pair become U+FFFD for viewers, in the row and in a continuation's prompt."""
    odd = TEXT.replace("Four", r"\u0000 \ud83d Four \ude00", 1)
    outcome = await upstream.play((once(content=odd, chars_per_token=1, eof_after_tokens=odd.index('"week":3') + 40),))
    await upstream.audit([outcome])
    assert (outcome.sees, outcome.end) == ("cswkwvC", COMPLETED)
    assert outcome.plan["monthly_summary"].startswith("\ufffd \ufffd Four \ufffd short")
    assert block(outcome.requests[1], "kept")["monthly_summary"] == outcome.plan["monthly_summary"]


async def test_output_over_the_bound_is_cut_off(upstream: Upstream) -> None:
    """Rule 11: upstream is closed at the bound, and no more than that is kept."""
    endless = TEXT.replace("Four", "Four " * 20_000)
    outcome = await upstream.play((once(content=endless, chars_per_token=100),))
    (answer,) = await upstream.answers(outcome.plan_id)
    assert outcome.end == failed("upstream_error")
    assert answer["outcome"] == "aborted"
    assert 39_000 < len(outcome.plan["monthly_summary"]) < 40_000


@pytest.mark.full
async def test_the_deadline_holds_for_the_whole_attempt(upstream: Upstream) -> None:
    """A stream that never stalls and never ends is closed at STREAMING_TIMEOUT; what was written can be read."""
    began = asyncio.get_running_loop().time()
    outcome = await upstream.play((once(content=TEXT, chars_per_token=4, tokens_per_second=8),))
    took = asyncio.get_running_loop().time() - began
    (answer,) = await upstream.answers(outcome.plan_id)
    await upstream.audit([outcome])
    assert (outcome.sees, outcome.end) == ("cswE", failed("upstream_timeout"))
    assert answer["outcome"] == "aborted"
    assert outcome.plan["monthly_summary"].startswith("Four short weeks")
    assert DEADLINE_SECONDS <= took < DEADLINE_SECONDS + 5
    assert outcome.sources == "p"


async def test_a_fallback_model_is_named_in_the_row(upstream: Upstream) -> None:
    """`models` holds both; the one that answered, its provider, tokens and cost are stored and summed up."""
    outcome = await upstream.play((http(502), once(model_index=1, provider="Groq")))
    await upstream.audit([outcome])
    assert outcome.requests[0]["body"]["models"] == ["first/model", "second/model"]
    assert outcome.requests[0]["body"]["provider"] == {"require_parameters": True}
    refused, row = outcome.rows
    assert (refused["error_code"], refused["completion_tokens"], refused["cost"]) == ("upstream_error", 0, None)
    assert (row["model"], row["provider"], row["finish_reason"]) == ("second/model", "Groq", "stop")
    assert outcome.usage is not None
    assert outcome.usage["completionTokens"] == row["completion_tokens"] > 0
    assert (outcome.usage["cost"], outcome.usage["source"]) == (row["cost"], "provider")


async def cancelled(upstream: Upstream, calls: tuple[Calls, ...], moment: str, answers: int) -> Outcome:
    """Play the script, and cancel once the viewer has seen that much and upstream has begun so many answers."""
    async with User.at(upstream.stack.gateway) as user:
        viewer = user.viewer()
        following = asyncio.create_task(viewer.start(await upstream.scripted(user, calls)))
        async with asyncio.timeout(10):
            while not pattern(viewer.received).startswith(moment):
                await asyncio.sleep(0.01)
            assert viewer.plan_id is not None
            while len(begun := await upstream.answers(viewer.plan_id)) < answers:
                await asyncio.sleep(0.01)
        assert [answer["outcome"] for answer in begun[:-1]] == ["failed"] * (len(begun) - 1)
        async with asyncio.timeout(2):
            answer = await user.cancel(viewer.plan_id)
            await following
        outcome = await upstream.outcome(user, viewer)
    assert (answer.status_code, answer.json()["status"]) == (200, outcome.end.status)
    return outcome


@dataclass(frozen=True)
class Cancel:
    """A moment for a cancel: the script, what the viewer has seen, how many answers upstream has begun; what comes."""

    script: tuple[Calls, ...]
    moment: str
    answers: int
    end: End
    purposes: str


LONG_PAUSE = http(429, retry_after=4)
NO_HEADERS = once(headers_delay_seconds=60)
BROKEN = once(**TWO_WEEKS, eof_after_tokens=CUT)
CANCELS = {
    "connecting": Cancel((NO_HEADERS,), "cs", 1, CANCELLED_BEFORE, "stream"),
    "before the first token": Cancel((once(ttft_seconds=60),), "cs", 1, CANCELLED_BEFORE, "stream"),
    "reasoning": Cancel((once(reasoning_tokens=5000, tokens_per_second=50),), "cs", 1, CANCELLED_BEFORE, "stream"),
    "pause before content": Cancel((LONG_PAUSE,), "csr", 0, CANCELLED_BEFORE, "stream"),
    "pause after content": Cancel((BROKEN, LONG_PAUSE), "cswk", 1, CANCELLED_AFTER, "stream continuation"),
    "connecting again": Cancel((BROKEN, NO_HEADERS), "cswk", 2, CANCELLED_AFTER, "stream continuation"),
    "stalled": Cancel((once(stall_after_tokens=20),), "csw", 1, CANCELLED_AFTER, "stream"),
}


@pytest.mark.parametrize("name", CANCELS)
async def test_cancel(upstream: Upstream, name: str) -> None:
    """Wherever the plan stands, it ends at once, upstream is closed within a second, and no further call is made."""
    case = CANCELS[name]
    outcome = await cancelled(upstream, case.script, case.moment, case.answers)
    async with asyncio.timeout(1):
        while any(answer["outcome"] == "running" for answer in await upstream.answers(outcome.plan_id)):
            await asyncio.sleep(0.02)
    await upstream.audit([outcome])
    assert (outcome.sees, outcome.end) == (f"{case.moment}X", case.end)
    assert (outcome.purposes, len(outcome.requests)) == (case.purposes, len(case.purposes.split()))
    assert outcome.ledger == ("reserved used" if case.end.used else "reserved released")
    if "continuation" in case.purposes:
        assert outcome.plan["weekly_breakdown"] == PLAN["weekly_breakdown"][:2]
