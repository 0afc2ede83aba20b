"""What follows the end of an upstream call, as a table."""

import pytest

from common.contracts.errors import ErrorCode
from generator.recovery import Broken, Call, Complete, Fail, History, Limits, Purpose, Whole, next_step

LIMITS = Limits()
BEFORE = Broken(ErrorCode.UPSTREAM_ERROR, retryable=True, wrote=False, progressed=False)
AFTER = Broken(ErrorCode.UPSTREAM_ERROR, retryable=True, wrote=True, progressed=True)
BARREN = Broken(ErrorCode.UPSTREAM_ERROR, retryable=True, wrote=True, progressed=False)
REFUSED = Broken(ErrorCode.CONTENT_REFUSED, retryable=False, wrote=False, progressed=False)
FRESH = History(streaming=True)


def purposes(ends: list[Whole | Broken], *, streaming: bool = True) -> list[object]:
    """Play the ends one after the other; the steps that followed, without pauses."""
    history = History(streaming=streaming)
    purpose: Purpose = "stream" if streaming else "sync"
    steps: list[object] = []
    for ended in ends:
        history, step = next_step(history, purpose, ended, LIMITS, 0.5)
        steps.append(step.purpose if isinstance(step, Call) else step)
        if isinstance(step, Call):
            purpose = step.purpose
    return steps


def test_a_valid_document_completes() -> None:
    """A whole and valid document needs nothing more."""
    assert purposes([Whole(valid=True)]) == [Complete()]


def test_an_invalid_document_is_repaired_once() -> None:
    """A whole document that is not a plan gets one repair call, then the plan fails."""
    assert purposes([Whole(valid=False), Whole(valid=False)]) == ["repair", Fail(ErrorCode.INVALID_PLAN)]
    assert purposes([Whole(valid=False), BEFORE]) == ["repair", Fail(ErrorCode.INVALID_PLAN)]
    assert purposes([Whole(valid=False), Whole(valid=True)]) == ["repair", Complete()]


def test_before_content_three_tries_then_the_fallback() -> None:
    """Failures before content are tried again, at most three times in all, then one call without streaming."""
    assert purposes([BEFORE] * 4) == ["stream", "stream", "fallback", Fail(ErrorCode.UPSTREAM_ERROR)]


def test_the_synchronous_call_has_no_fallback() -> None:
    """Without streaming there is nothing to fall back to."""
    assert purposes([BEFORE] * 3, streaming=False) == ["sync", "sync", Fail(ErrorCode.UPSTREAM_ERROR)]


def test_after_content_it_is_continued_at_most_four_times() -> None:
    """Content is kept and continued; continuations that bring weeks are limited by their number alone."""
    assert purposes([AFTER] * 6) == ["continuation"] * 4 + ["fallback", Fail(ErrorCode.UPSTREAM_ERROR)]


def test_continuations_without_a_new_week_count_as_failures() -> None:
    """Three answers in a row without a new week are enough."""
    assert purposes([BARREN] * 3) == ["continuation", "continuation", "fallback"]


def test_what_cannot_be_mended_fails_at_once() -> None:
    """A refusal is not tried again."""
    assert purposes([REFUSED]) == [Fail(ErrorCode.CONTENT_REFUSED)]


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 0.25), (1.0, 0.5)])
def test_pause_is_jittered(jitter: float, pause: float) -> None:
    """The first pause is between half and the whole of its nominal length."""
    _, step = next_step(FRESH, "stream", BEFORE, LIMITS, jitter)
    assert step == Call("stream", pause)


def test_retry_after_is_honoured() -> None:
    """What upstream asks for is waited for, not less."""
    asked = Broken(ErrorCode.UPSTREAM_RATE_LIMITED, True, False, False, retry_after=7)
    _, step = next_step(FRESH, "stream", asked, LIMITS, 0.0)
    assert step == Call("stream", 7)


def test_the_fallback_honours_retry_after_too() -> None:
    """Its call is one more of the same that upstream wants to be spared."""
    asked = Broken(ErrorCode.UPSTREAM_RATE_LIMITED, True, False, False, retry_after=7)
    _, step = next_step(History(streaming=True, failures=2), "stream", asked, LIMITS, 0.0)
    assert step == Call("fallback", 7)


def test_no_wait_beyond_the_attempts_end() -> None:
    """When upstream asks for more patience than is left, the reason is told at once."""
    asked = Broken(ErrorCode.UPSTREAM_RATE_LIMITED, True, False, False, retry_after=7)
    limits = Limits(attempt=20)
    assert next_step(FRESH, "stream", asked, limits, 0.0, 12)[1] == Call("stream", 7)
    assert next_step(FRESH, "stream", asked, limits, 0.0, 14)[1] == Fail(ErrorCode.UPSTREAM_RATE_LIMITED)
    assert next_step(FRESH, "stream", Whole(valid=True), limits, 0.0, 30)[1] == Complete()
