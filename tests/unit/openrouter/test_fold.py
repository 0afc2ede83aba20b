"""What counts as progress, and the bound on the output."""

import orjson
import pytest

from common.contracts.errors import ErrorCode
from generator.openrouter.call import UpstreamCall
from generator.openrouter.fold import StreamFold


def data(delta: dict[str, object], **fields: object) -> bytes:
    """One data event."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return b"data: " + orjson.dumps({"id": "gen-1", "choices": [choice], **fields}) + b"\n\n"


def new_fold(limit: int = 100) -> StreamFold:
    """A fold at its start."""
    return StreamFold(UpstreamCall(), max_output_chars=limit)


@pytest.mark.parametrize(
    "quiet",
    [
        b": OPENROUTER PROCESSING\n\n",
        data({}),
        data({"content": ""}),
        data({"content": None, "reasoning": "", "reasoning_details": []}),
        data({"content": "", "reasoning_details": [{"type": "reasoning.text", "text": ""}]}),
        data({"content": ""}, usage={}),
        b"data: {",
    ],
)
def test_silence(quiet: bytes) -> None:
    """Comments, empty deltas and half an event do not break the silence."""
    fold = new_fold()
    fold.feed(quiet)
    assert not fold.progressed


@pytest.mark.parametrize(
    "loud",
    [
        data({"content": "{"}),
        data({"reasoning": "Hm"}),
        data({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}),
        data({"reasoning_details": [{"type": "reasoning.summary", "summary": "x"}]}),
        data({"refusal": "No"}),
        data({}, usage={"prompt_tokens": 1}),
    ],
)
def test_progress(loud: bytes) -> None:
    """Content, reasoning, a refusal and usage are progress, until the next read."""
    fold = new_fold()
    fold.feed(loud)
    assert fold.progressed
    fold.feed(b": OPENROUTER PROCESSING\n\n")
    assert not fold.progressed


def test_started() -> None:
    """A data event starts the answer; comments and debug chunks do not."""
    quiet = b": OPENROUTER PROCESSING\n\n" + b'data: {"choices":[],"debug":{}}\n\n'
    started = []
    fold = new_fold()
    for read in (quiet, data({})):
        fold.feed(read)
        started.append(fold.started)
    assert started == [False, True]


def test_one_read_one_text() -> None:
    """All tokens of a read come as one text."""
    assert new_fold().feed(data({"content": "a"}) + data({"content": "b"}) + data({"content": ""})) == "ab"


def test_output_bound() -> None:
    """Output past the bound is cut there, and that is a failure another try would repeat."""
    fold = new_fold(limit=5)
    assert fold.feed(data({"content": "abc"})) == "abc"
    assert not fold.over
    assert fold.feed(data({"content": "def"}) + data({"content": "ghi"})) == "de"
    assert fold.failure is not None
    assert (fold.failure.code, fold.failure.retryable, fold.failure.after_content) == (
        ErrorCode.UPSTREAM_ERROR,
        False,
        True,
    )
    assert fold.call.chars == 5


def test_output_at_the_bound() -> None:
    """Output of exactly the bound is no failure."""
    fold = new_fold(limit=3)
    assert fold.feed(data({"content": "abc"})) == "abc"
    assert fold.failure is None


def test_endless_line() -> None:
    """A line without an end is given up, not kept for ever."""
    fold = new_fold()
    for _ in range(6):
        fold.feed(b"data: " + b"x" * 1024 * 1024)
    assert fold.failure is not None
    assert not fold.failure.retryable


def test_text_before_a_failure_in_one_read() -> None:
    """What came before an error in the same read is not lost."""
    fold = new_fold()
    assert fold.feed(data({"content": "abc"}) + b'data: {"error":{"code":502}}\n\n' + data({"content": "d"})) == "abc"
    assert fold.failure is not None
    assert fold.failure.after_content
    assert fold.failure.status == 502


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "many", "completion_tokens": None, "cost": "free"},
        {"prompt_tokens": -1, "completion_tokens": True, "cost": -0.5},
    ],
)
def test_nonsense_usage(usage: dict[str, object]) -> None:
    """Usage of the wrong type counts as zero and an unknown price."""
    fold = new_fold()
    fold.feed(data({"content": "a"}, usage=usage))
    assert (fold.call.prompt_tokens, fold.call.completion_tokens, fold.call.cost) == (0, 0, None)


def test_estimate_only_without_usage() -> None:
    """Tokens are estimated from lengths unless the provider has counted them."""
    estimated, reported = UpstreamCall(chars=9), UpstreamCall(chars=9)
    reported.report(15, 9, 0.1)
    estimated.estimate(prompt_chars=10)
    reported.estimate(prompt_chars=10)
    assert (estimated.prompt_tokens, estimated.completion_tokens, estimated.source) == (3, 3, "estimated")
    assert (reported.prompt_tokens, reported.completion_tokens, reported.source) == (15, 9, "provider")
