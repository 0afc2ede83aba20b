"""Upstream's behaviours in the synchronous call: what the caller is told, what is stored, paid and asked for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest

from common.contracts.plan import validate_plan
from testkit import OpenStack, User
from testkit.upstream import BRISK, Upstream
from testkit.upstream_cases import Calls, Outcome, always, http, once, short_plan, text_of

TEXT = text_of(short_plan())
# Between the second and the third week.
BETWEEN = TEXT.index(',{"week":3')
AT_ONCE = 12
ENVIRONMENT = BRISK | {"STREAMING_TIMEOUT": "6000"}


@dataclass(frozen=True)
class Case:
    """A row: the script; HTTP status and problem code; purposes of the calls, and sources of their costs."""

    name: str
    script: tuple[Calls, ...]
    status: int
    code: str | None
    purposes: str
    sources: str


def forever(status: int) -> tuple[Calls, ...]:
    """All calls are refused."""
    return (always(http_error={"status": status}),)


OK = (200, None, "sync", "p")
RETRIED = (200, None, "sync sync", "pp")
CONTINUED = (200, None, "sync continuation", "pp")
IN_VAIN = "sync sync sync"

TABLE = (
    Case("plain", (), *OK),
    Case("white space first", (once(leading_whitespace=100),), *OK),
    Case("fenced", (once(form="fenced"),), *OK),
    Case("leading prose", (once(form="prose_before"),), *OK),
    Case("trailing comma behind the last week", (once(form="trailing_comma"),), *OK),
    Case("HTTP 429 once", (http(429),), 200, None, "sync sync", "ep"),
    Case("HTTP 429 for ever", forever(429), 502, "upstream_rate_limited", IN_VAIN, "eee"),
    Case("HTTP 429, longer than we have", (http(429, retry_after=600),), 502, "upstream_rate_limited", "sync", "e"),
    Case("HTTP 401", (http(401),), 502, "upstream_error", "sync", "e"),
    Case("HTTP 402", (http(402),), 502, "upstream_error", "sync", "e"),
    Case("HTTP 403, moderation", (http(403, variant="moderation"),), 502, "content_refused", "sync", "e"),
    Case("HTTP 408 for ever", forever(408), 504, "upstream_timeout", IN_VAIN, "eee"),
    Case("HTTP 503 for ever", forever(503), 502, "upstream_error", IN_VAIN, "eee"),
    Case("HTTP 524 for ever", forever(524), 504, "upstream_timeout", IN_VAIN, "eee"),
    Case("error alone in 200", (once(stream_error={"code": 502}),), *RETRIED),
    Case("error beside content", (once(content=TEXT, stream_error={"after_tokens": 9}),), *RETRIED),
    Case("choices null", (once(choices="null"),), *RETRIED),
    Case("choices empty", (once(choices="empty"),), *RETRIED),
    Case("choices missing, for ever", (always(choices="missing"),), 502, "upstream_error", IN_VAIN, "ppp"),
    Case("body cut off", (once(eof_after_tokens=9, eof_framing="cut"),), *RETRIED),
    Case("body ends too soon", (once(eof_after_tokens=9),), *RETRIED),
    Case("reset", (once(reset_after_tokens=9),), *RETRIED),
    Case("length", (once(content=TEXT, chars_per_token=4, length_after_tokens=(BETWEEN + 60) // 4),), *CONTINUED),
    Case("length without content", (once(length_after_tokens=0),), 502, "upstream_error", "sync", "p"),
    Case("refusal", (once(refusal="No."),), 502, "content_refused", "sync", "p"),
    Case("invalid JSON after two weeks", (once(content=TEXT[:BETWEEN] + ", oops"),), *CONTINUED),
    Case("wrong shape", (once(form="wrong_shape"),), 200, None, "sync repair", "pp"),
    Case("wrong shape twice", (Calls({"form": "wrong_shape"}, 2),), 502, "invalid_plan", "sync repair", "pp"),
    Case("no end", (once(stall_after_tokens=5),), 504, "upstream_timeout", "sync", "p"),
)

Found = tuple[httpx.Response, Outcome]


@pytest.fixture(scope="module")
async def found(open_stack: OpenStack) -> AsyncIterator[dict[str, Found]]:
    """What every case came to; a dozen are played at once, on a stack of this module's own."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def play(upstream: Upstream, case: Case) -> Found:
        async with slots, User.at(upstream.stack.gateway) as user:
            body = await upstream.scripted(user, case.script)
            answer = await user.http.post("/api/plan/generate", json=body)
            (plan,) = (await user.get("/api/plan/plans"))["plans"]
            return answer, await upstream.left(user, UUID(plan["planId"]))

    async with open_stack(ENVIRONMENT) as stack, Upstream.of(stack) as upstream:
        played = await asyncio.gather(*(play(upstream, case) for case in TABLE))
        await upstream.audit(outcome for _, outcome in played)
        yield {case.name: each for case, each in zip(TABLE, played, strict=True)}


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
async def test_synchronous(found: dict[str, Found], case: Case) -> None:
    """The caller gets the plan, or 502 or 504 with the code; a failure costs the user nothing."""
    answer, outcome = found[case.name]
    body = answer.json()
    assert (answer.status_code, body.get("code")) == (case.status, case.code)
    assert (outcome.purposes, outcome.sources, len(outcome.requests)) == (
        case.purposes,
        case.sources,
        len(case.sources),
    )
    assert not any(request["body"]["stream"] for request in outcome.requests)
    status, used, charge = ("completed", 1, "used") if case.status == 200 else ("failed", 0, "released")
    assert (outcome.end.status, outcome.end.used, outcome.generated) == (status, used, status)
    assert outcome.ledger == f"reserved {charge}"
    if case.status == 200:
        validate_plan(body["plan"], 4)
        assert body["plan"] == outcome.plan
    else:
        assert answer.headers["content-type"] == "application/problem+json"
