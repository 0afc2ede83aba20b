"""Every way in which OpenRouter is known to behave, through the whole stack: what a viewer sees, what is stored, paid.

The letters of what a viewer sees are those of `testkit.upstream_cases.pattern`. The rows are played at the same time.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from testkit import OpenStack
from testkit.upstream import BRISK, Upstream
from testkit.upstream_cases import COMPLETED, Calls, Case, Outcome, always, failed, http, once, short_plan, text_of

AT_ONCE = 12

TEXT = text_of(short_plan())
# In the middle of the third week's focus, in tokens of four characters.
CUT = (TEXT.index('"week":3') + 40) // 4
CUT_IN_SECOND = (TEXT.index('"week":2') + 40) // 4
ALL = 100_000
FROM_ONE = text_of({"weekly_breakdown": short_plan()["weekly_breakdown"][:2]})
# Between the second and the third week.
BETWEEN = TEXT.index(',{"week":3')

# Each code that is the provider's doing.
UPSTREAM_CODES = {"upstream_error", "upstream_timeout", "upstream_rate_limited", "content_refused", "invalid_plan"}
UPSTREAM_ERROR = failed("upstream_error")
TIMEOUT = failed("upstream_timeout")
RATE_LIMITED = failed("upstream_rate_limited")
REFUSED = failed("content_refused")
INVALID = failed("invalid_plan")

# What a viewer sees most often, and the calls that belong to it.
PLAIN = ("cswvC", COMPLETED, "stream")
RETRIED = ("csrwvC", COMPLETED, "stream stream")
CONTINUED = ("cswkwvC", COMPLETED, "stream continuation")
SALVAGED = ("cswkC", COMPLETED, "stream", "p")
REPAIRED = ("cswvnwvC", COMPLETED, "stream repair")
FELL_BACK = ("csrwvC", COMPLETED, "stream stream stream fallback")
IN_VAIN = "stream stream stream fallback"


def broken(**behaviour: object) -> Calls:
    """The next call writes two weeks and a part of the third, and ends in some bad way."""
    return once(content=TEXT, chars_per_token=4, **behaviour)


PACE_AND_FRAMING = (
    Case("pace", (once(tokens_per_second=900, jitter=0, chars_per_token=4),), *PLAIN, "p"),
    Case("jitter", (once(tokens_per_second=900, jitter=1, chars_per_token=4),), *PLAIN, "p"),
    Case("time to first token", (once(ttft_seconds=0.5, comment_seconds=0.02),), *PLAIN, "p"),
    Case("late headers", (once(headers_delay_seconds=1.0),), *PLAIN, "p"),
    Case("no comments", (once(comments=False),), *PLAIN, "p"),
    Case("comments between tokens", (once(tokens_per_second=100, between_comment_seconds=0.005),), *PLAIN, "p"),
    Case("a pause that is not too long", (once(stall_after_tokens=20, stall_seconds=0.6),), *PLAIN, "p"),
    Case("single bytes", (once(content=TEXT, chars_per_token=200, drip_seconds=0),), *PLAIN, "p"),
    Case("CRLF, no space after data", (once(crlf=True, space_after_data=False),), *PLAIN, "p"),
    Case("no [DONE] after the finish", (once(done=False),), *PLAIN, "p"),
    Case("odd chunks", (once(odd_chunks=["choices_empty", "choices_null", "choices_missing"]),), *PLAIN, "p"),
    Case("odd deltas", (once(odd_chunks=["content_null", "content_empty", "delta_null"]),), *PLAIN, "p"),
    Case("one character a token", (once(content=TEXT, chars_per_token=1),), *PLAIN, "p"),
    Case("the whole answer in one token", (once(content=TEXT, chars_per_token=10_000),), *PLAIN, "p"),
    Case("unknown finish reason", (once(finish_reason="finished"),), *PLAIN, "p"),
    Case("reasoning", (once(reasoning_tokens=40),), *PLAIN, "p"),
    Case("reasoning summary", (once(reasoning_tokens=40, reasoning_kind="summary"),), *PLAIN, "p"),
    Case(
        "encrypted reasoning in one long line",
        (once(reasoning_tokens=4, reasoning_kind="encrypted", encrypted_chars=300_000),),
        *PLAIN,
        "p",
    ),
)

USAGE = (
    Case("usage: repeated finish", (once(usage_shape="repeat_finish"),), *PLAIN, "p"),
    Case("usage: null finish", (once(usage_shape="null_finish"),), *PLAIN, "p"),
    Case("usage: empty choices", (once(usage_shape="empty_choices"),), *PLAIN, "p"),
    Case("usage: none, looked up", (once(usage_shape="none"),), *PLAIN, "p"),
    Case("usage: none, late", (once(usage_shape="none", generation_delay_seconds=0.7),), *PLAIN, "p"),
    Case("usage: none, too late", (once(usage_shape="none", generation_delay_seconds=60),), *PLAIN, "e"),
    Case("usage of a cut call, late", (broken(eof_after_tokens=CUT, generation_delay_seconds=0.7),), *CONTINUED, "pp"),
    Case(
        "usage of a cut call, too late", (broken(eof_after_tokens=CUT, generation_delay_seconds=60),), *CONTINUED, "ep"
    ),
)

SHAPES = ("finish_error", "empty_choices", "no_choices", "after_length", "choice_level")

ERRORS_IN_STREAM = (
    *(Case(f"{shape} before content", (once(stream_error={"shape": shape}),), *RETRIED, "pp") for shape in SHAPES),
    *(
        Case(f"{shape} after content", (broken(stream_error={"shape": shape, "after_tokens": CUT}),), *CONTINUED, "pp")
        for shape in SHAPES
    ),
    Case("error with [DONE]", (broken(stream_error={"after_tokens": CUT, "done": True}),), *CONTINUED, "pp"),
    Case("error with a word for a code", (once(stream_error={"code": "server_error"}),), *RETRIED, "pp"),
    Case("error without a type", (once(stream_error={"error_type": None}),), *RETRIED, "pp"),
    Case(
        "rate limit inside 200, for ever",
        (always(stream_error={"code": 429, "error_type": "rate_limit_exceeded"}),),
        *("csrE", RATE_LIMITED, IN_VAIN, "pppp"),
    ),
    Case(
        "prompt too long inside 200",
        (once(stream_error={"code": 400, "error_type": "context_length_exceeded"}),),
        *("csE", UPSTREAM_ERROR, "stream", "p"),
    ),
    Case(
        "policy inside 200, after content",
        (broken(stream_error={"code": 403, "error_type": "content_policy_violation", "after_tokens": CUT}),),
        *("cswE", REFUSED, "stream", "p"),
    ),
)

FAILS_AT_ONCE = ("csE", UPSTREAM_ERROR, "stream", "e")

HTTP_ERRORS = (
    *(Case(f"HTTP {status}", (http(status),), *FAILS_AT_ONCE) for status in (400, 401, 402, 403, 404, 413, 422)),
    *(Case(f"HTTP {status}", (http(status),), *RETRIED, "ep") for status in (408, 429, 500, 502, 503, 504, 524, 529)),
    Case("HTTP 400, context length", (http(400, variant="context_length"),), *FAILS_AT_ONCE),
    Case("HTTP 403, moderation", (http(403, variant="moderation"),), "csE", REFUSED, "stream", "e"),
    Case("HTTP 402, in flight", (http(402, variant="in_flight_budget", retry_after=1),), *RETRIED, "ep", waits=1),
    Case("HTTP 429, Retry-After", (http(429, retry_after=1),), *RETRIED, "ep", waits=1),
    Case("HTTP 429, own limit", (http(429, variant="own_rate_limit"),), *RETRIED, "ep"),
    Case("HTTP 429, date in the past", (http(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),), *RETRIED, "ep"),
    Case("HTTP 429, nonsense in Retry-After", (http(429, retry_after="soon"),), *RETRIED, "ep"),
    Case("HTTP 429, longer than we have", (http(429, retry_after=600),), "csE", RATE_LIMITED, "stream", "e"),
    Case("HTTP 503, Retry-After", (http(503, retry_after=1),), *RETRIED, "ep", waits=1),
    Case("HTTP 502, HTML", (http(502, body="<html>Bad gateway</html>", content_type="text/html"),), *RETRIED, "ep"),
    Case("HTTP 500, empty body", (http(500, body=""),), *RETRIED, "ep"),
    Case("HTTP 429 twice", (http(429), http(429)), "csrwvC", COMPLETED, "stream stream stream", "eep"),
    Case("HTTP 502 until the fallback", (http(502), http(502), http(502)), *FELL_BACK, "eeep"),
    Case("HTTP 429 for ever", (always(http_error={"status": 429}),), "csrE", RATE_LIMITED, IN_VAIN, "eeee"),
    Case("HTTP 524 for ever", (always(http_error={"status": 524}),), "csrE", TIMEOUT, IN_VAIN, "eeee"),
    Case("HTTP 502, then 401", (http(502), http(401)), "csrE", UPSTREAM_ERROR, "stream stream", "ee"),
    Case(
        "HTTP 529 after content",
        (broken(eof_after_tokens=CUT), http(529)),
        "cswkwvC",
        COMPLETED,
        "stream continuation continuation",
        "pep",
    ),
)

FALLBACKS = (
    Case(
        "fallback: white space first",
        (http(502), http(502), http(502), once(leading_whitespace=50)),
        *FELL_BACK,
        "eeep",
    ),
    Case(
        "fallback: choices null",
        (http(502), http(502), http(502), once(choices="null")),
        "csrE",
        UPSTREAM_ERROR,
        IN_VAIN,
        "eeep",
    ),
    Case(
        "fallback: choices empty",
        (http(502), http(502), http(502), once(choices="empty")),
        "csrE",
        UPSTREAM_ERROR,
        IN_VAIN,
        "eeep",
    ),
    Case(
        "fallback: choices missing",
        (http(502), http(502), http(502), once(choices="missing")),
        "csrE",
        UPSTREAM_ERROR,
        IN_VAIN,
        "eeep",
    ),
    Case(
        "fallback: wrong shape",
        (http(502), http(502), http(502), once(form="wrong_shape")),
        "csrwvnwvC",
        COMPLETED,
        IN_VAIN + " repair",
        "eeepp",
    ),
    Case(
        "three answers without a week, then the fallback",
        (Calls({"eof_after_tokens": 5}, 3),),
        *("cswnwnwnwvC", COMPLETED, "stream continuation continuation fallback", "pppp"),
    ),
    Case(
        "no answer ever gets to a week",
        (always(eof_after_tokens=5),),
        *("cswnwnwnE", UPSTREAM_ERROR, "stream continuation continuation fallback", "pppp"),
    ),
)

BREAKS = (
    Case("EOF before content", (once(eof_after_tokens=0),), *RETRIED, "pp"),
    Case("EOF before content, cut", (once(eof_after_tokens=0, eof_framing="cut"),), *RETRIED, "pp"),
    Case("EOF after content", (broken(eof_after_tokens=CUT),), *CONTINUED, "pp"),
    Case("EOF after content, cut", (broken(eof_after_tokens=CUT, eof_framing="cut"),), *CONTINUED, "pp"),
    Case("EOF after reasoning", (once(reasoning_tokens=9, eof_after_tokens=9),), *RETRIED, "pp"),
    Case("EOF between the last brackets", (once(content=TEXT[:-2], eof_after_tokens=ALL),), *SALVAGED),
    Case("EOF within the last Sunday", (once(content=TEXT[:-5], eof_after_tokens=ALL),), *CONTINUED, "pp"),
    Case("reset before content", (once(reset_after_tokens=0),), *RETRIED, "pp"),
    Case("reset after content", (broken(reset_after_tokens=CUT),), *CONTINUED, "pp"),
    Case(
        "a cut in each second week",
        (Calls({"content": TEXT, "chars_per_token": 4, "eof_after_tokens": CUT_IN_SECOND}, 3),),
        *("cswkwkwkwvC", COMPLETED, "stream continuation continuation continuation", "pppp"),
    ),
    Case("length after content", (broken(length_after_tokens=CUT),), *CONTINUED, "pp"),
    Case("length before content", (once(length_after_tokens=0),), "csE", UPSTREAM_ERROR, "stream", "p"),
    Case(
        "length: all was reasoning",
        (once(reasoning_tokens=50, length_after_tokens=50),),
        "csE",
        UPSTREAM_ERROR,
        "stream",
        "p",
    ),
    Case("only comments before content", (once(stall_after_tokens=0, comment_seconds=0.05),), *RETRIED, "pp"),
    Case("silence before content", (once(stall_after_tokens=0, stall_comments=False),), *RETRIED, "pp"),
    Case("no headers", (once(headers_delay_seconds=60),), *RETRIED, "ep"),
    Case("only comments after content", (broken(stall_after_tokens=CUT, comment_seconds=0.05),), *CONTINUED, "pp"),
    Case("silence after content", (broken(stall_after_tokens=CUT, stall_comments=False),), *CONTINUED, "pp"),
    Case("silence after reasoning", (once(reasoning_tokens=9, stall_after_tokens=9),), *RETRIED, "pp"),
)

DOCUMENTS = (
    Case("pretty", (once(form="pretty"),), *PLAIN, "p"),
    Case("fenced", (once(form="fenced"),), *PLAIN, "p"),
    Case("leading prose", (once(form="prose_before"),), *PLAIN, "p"),
    Case("trailing prose", (once(form="prose_after"),), *PLAIN, "p"),
    Case("trailing comma behind the last week", (once(form="trailing_comma"),), *SALVAGED),
    Case("invalid JSON", (once(form="invalid_json"),), "cswnwvC", COMPLETED, "stream continuation", "pp"),
    Case("invalid JSON after two weeks", (once(content=TEXT[:BETWEEN] + ", oops"),), *CONTINUED, "pp"),
    Case("the document ends too soon", (once(content=TEXT[:BETWEEN]),), *CONTINUED, "pp"),
    Case("wrong shape", (once(form="wrong_shape"),), *REPAIRED, "pp"),
    Case(
        "wrong shape twice",
        (once(form="wrong_shape"), once(form="wrong_shape")),
        "cswvnwvE",
        INVALID,
        "stream repair",
        "pp",
    ),
    Case("impossible times", (once(form="invalid_plan"),), *REPAIRED, "pp"),
    Case("no weeks", (once(form="no_weeks"),), *REPAIRED, "pp"),
    Case("a week too many", (once(form="surplus_week"),), *REPAIRED, "pp"),
    Case(
        "a week too many in a continuation", (broken(eof_after_tokens=CUT), once(form="surplus_week")), *CONTINUED, "pp"
    ),
    Case("a continuation that counts from 1", (broken(eof_after_tokens=CUT), once(content=FROM_ONE)), *CONTINUED, "pp"),
    Case("a repair that fails", (once(form="wrong_shape"), http(502)), "cswvE", INVALID, "stream repair", "pe"),
    Case("only prose", (once(content="I would rather not."),), *RETRIED, "pp"),
    Case("only prose, for ever", (always(content="I would rather not."),), "csrE", INVALID, IN_VAIN, "pppp"),
    Case("refusal", (once(refusal="I cannot help with that."),), "csE", REFUSED, "stream", "p"),
    Case(
        "filtered after content",
        (once(content=TEXT[:BETWEEN], finish_reason="content_filter"),),
        "cswE",
        REFUSED,
        "stream",
        "p",
    ),
    Case("half a surrogate pair", (once(content=TEXT.replace("Four", r"\ud83d Four \ude00")),), *PLAIN, "p"),
    Case("NUL escape", (once(content=TEXT.replace("Four", r"\u0000Four")),), *PLAIN, "p"),
    Case("NUL as it is", (once(content=TEXT.replace("piece 3", "piece \0 3")),), *CONTINUED, "pp"),
    Case(
        "too long",
        (once(content=TEXT.replace("Four", "Four " * 9000), chars_per_token=400),),
        "cswE",
        UPSTREAM_ERROR,
        "stream",
        "p",
    ),
)

TABLE = (*PACE_AND_FRAMING, *USAGE, *ERRORS_IN_STREAM, *HTTP_ERRORS, *FALLBACKS, *BREAKS, *DOCUMENTS)


@pytest.fixture(scope="module")
async def upstream(open_stack: OpenStack) -> AsyncIterator[Upstream]:
    """A stack of this module's own."""
    async with open_stack(BRISK) as stack, Upstream.of(stack) as opened:
        yield opened


@pytest.fixture(scope="module")
async def outcomes(upstream: Upstream, request: pytest.FixtureRequest) -> dict[str, Outcome | BaseException]:
    """What came of the selected cases, or what went wrong while following them."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def play(case: Case) -> Outcome:
        async with slots, asyncio.timeout(40):
            return await upstream.play(case.script)

    selected = {item.name for item in request.session.items}
    every_failure = "test_failures_give_back" in selected
    cases = [case for case in TABLE if f"test_behaviour[{case.name}]" in selected or (every_failure and _fails(case))]
    found = await asyncio.gather(*map(play, cases), return_exceptions=True)
    await upstream.audit(outcome for outcome in found if isinstance(outcome, Outcome))
    return {case.name: outcome for case, outcome in zip(cases, found, strict=True)}


@pytest.mark.timeout(100)
@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
async def test_behaviour(outcomes: dict[str, Outcome | BaseException], case: Case) -> None:
    """The row holds."""
    outcome = outcomes[case.name]
    if isinstance(outcome, BaseException):
        raise outcome
    outcome.check(case)


def _fails(case: Case) -> bool:
    return case.end.event == "error"


@pytest.mark.timeout(100)
async def test_failures_give_back(outcomes: dict[str, Outcome | BaseException]) -> None:
    """Complaint 9: whatever the provider does wrong, the plan that fails by it reserves and costs nothing."""
    failures = [case for case in TABLE if _fails(case)]
    assert {case.end.code for case in failures} == UPSTREAM_CODES
    for case in failures:
        outcome = outcomes[case.name]
        assert isinstance(outcome, Outcome), case.name
        assert (outcome.generated, outcome.ledger, outcome.end.used) == ("failed", "reserved released", 0), case.name


async def test_no_row_comes_later(upstream: Upstream, outcomes: dict[str, Outcome | BaseException]) -> None:
    """Each call has its one usage row; nothing is written twice."""
    for outcome in outcomes.values():
        if isinstance(outcome, Outcome):
            assert len(await upstream.rows(outcome.plan_id)) == len(outcome.requests)
