"""Every recorded shape of a stream, whole and split at every byte."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.errors import ErrorCode
from common.sse import Decoder, ServerSentEvent
from generator.openrouter.call import UpstreamCall
from generator.openrouter.fold import StreamFold

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.sse"))
ERROR, LIMITED, TIMEOUT, REFUSED = (
    ErrorCode.UPSTREAM_ERROR,
    ErrorCode.UPSTREAM_RATE_LIMITED,
    ErrorCode.UPSTREAM_TIMEOUT,
    ErrorCode.CONTENT_REFUSED,
)


@dataclass(frozen=True)
class Outcome:
    """What a stream comes to; `failure` is (code, retryable)."""

    text: str
    finish: str | None = None
    failure: tuple[ErrorCode, bool] | None = None
    usage: bool = False


OUTCOMES = {
    "after_done": Outcome("{}", "stop"),
    "comments_only": Outcome("", failure=(ERROR, True)),
    "content_filter": Outcome("{", "content_filter", (REFUSED, False)),
    "crlf_and_bom": Outcome("{é}", "stop"),
    "cut_off": Outcome('{"steps"', failure=(ERROR, True)),
    "cut_off_in_event": Outcome('{"st', failure=(ERROR, True)),
    "done_without_content": Outcome("", "stop", (ERROR, True), usage=True),
    "done_without_finish": Outcome("{}"),
    "error_after_length": Outcome("{", "length", (ERROR, True), usage=True),
    "error_as_text": Outcome("", failure=(ERROR, True)),
    "error_beside_empty_choices": Outcome("{", failure=(ERROR, True)),
    "error_first": Outcome("", "error", (LIMITED, True)),
    "error_in_choice": Outcome("{", failure=(ERROR, True)),
    "error_moderated": Outcome("", failure=(REFUSED, False)),
    "error_only_in_finish": Outcome("", "error", (ERROR, True)),
    "error_prompt_too_long": Outcome("", failure=(ERROR, False)),
    "error_with_numeric_string": Outcome("", failure=(TIMEOUT, True)),
    "error_with_string_code": Outcome("", "error", (ERROR, True)),
    "error_without_choices": Outcome("", failure=(LIMITED, True)),
    "half_characters": Outcome('{"a":"🎯\ufffd"}', "stop"),
    "html": Outcome("", failure=(ERROR, True)),
    "length": Outcome('{"steps": ["a', "length", usage=True),
    "length_without_content": Outcome("", "length"),
    "lone_cr_no_space": Outcome("{é}", "stop"),
    "malformed": Outcome("{", failure=(ERROR, True)),
    "no_done_after_finish": Outcome("{}", "stop"),
    "not_an_object": Outcome("", failure=(ERROR, True)),
    "nothing": Outcome("", failure=(ERROR, True)),
    "odd_choices": Outcome("{}", "a_new_reason"),
    "reasoning": Outcome("{}", "stop"),
    "refusal": Outcome("", "content_filter", (REFUSED, False), usage=True),
    "refusal_with_stop": Outcome("", "stop", (REFUSED, False)),
    "repeated_finish": Outcome('{"steps": "é漢🎯"}', "stop", usage=True),
    "usage_beside_empty_choices": Outcome("{}", "stop", usage=True),
    "usage_beside_null_finish": Outcome("{}", "stop", usage=True),
}


def recorded(name: str) -> bytes:
    """A fixture's bytes."""
    return (FIXTURES / f"{name}.sse").read_bytes()


def folded(*reads: bytes) -> tuple[str, StreamFold]:
    """Fold a whole stream that came in these reads."""
    fold = StreamFold(UpstreamCall(), max_output_chars=10_000)
    text = "".join(fold.feed(read) for read in reads)
    fold.eof()
    return text, fold


def outcome(*reads: bytes) -> Outcome:
    """What these reads come to."""
    text, fold = folded(*reads)
    failure = (fold.failure.code, fold.failure.retryable) if fold.failure else None
    assert fold.over
    assert fold.failure is None or fold.failure.after_content is bool(text)
    call = fold.call
    usage = (call.source, call.prompt_tokens, call.completion_tokens, call.cost) == ("provider", 15, 9, 0.00006)
    return Outcome(text, call.finish_reason, failure, usage)


def decoded(*reads: bytes) -> tuple[list[ServerSentEvent], int]:
    """The events and the number of comments."""
    decoder = Decoder()
    return [event for read in reads for event in decoder.feed(read)], decoder.comments


def test_every_recording_has_an_outcome() -> None:
    """No fixture is left out."""
    assert sorted(OUTCOMES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_outcome(name: str) -> None:
    """A recorded stream gives its text, its end and its usage."""
    assert outcome(recorded(name)) == OUTCOMES[name]


@pytest.mark.parametrize("name", NAMES)
def test_any_two_reads(name: str) -> None:
    """Split in two at every byte, a stream comes to the same."""
    data = recorded(name)
    for cut in range(1, len(data)):
        assert outcome(data[:cut], data[cut:]) == OUTCOMES[name], cut


@pytest.mark.parametrize("name", NAMES)
def test_byte_by_byte(name: str) -> None:
    """One byte a read comes to the same."""
    data = recorded(name)
    reads = [data[at : at + 1] for at in range(len(data))]
    assert outcome(*reads) == OUTCOMES[name]
    assert decoded(*reads) == decoded(data)


@pytest.mark.parametrize("name", NAMES)
def test_decoder_split_anywhere(name: str) -> None:
    """The SSE decoder gives the same events and comments for every split in two."""
    data = recorded(name)
    whole = decoded(data)
    for cut in range(len(data)):
        assert decoded(data[:cut], data[cut:]) == whole, cut


@given(st.data())
def test_decoder_split_in_many(data: st.DataObject) -> None:
    """The SSE decoder gives the same events for any split, of any lines in any line ends."""
    lines = st.sampled_from(["data: é", "data:x", "data", "", ": c", ":", "event: e", "id: 1", "\ufeff", "x: y", "漢"])
    ends = st.sampled_from(["\n", "\r", "\r\n"])
    text = "".join(line + end for line, end in data.draw(st.lists(st.tuples(lines, ends), max_size=12)))
    body = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    reads = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert decoded(*reads) == decoded(body)


def test_first_call_record() -> None:
    """Who answered, and under which id, stands in the record."""
    _, fold = folded(recorded("repeated_finish"))
    call = fold.call
    assert (call.generation_id, call.provider, call.model) == ("gen-1", "OpenAI", "openai/gpt-4.1-mini")
    assert call.chars == len('{"steps": "é漢🎯"}')


def test_record_is_early() -> None:
    """The generation id is known from the first data event on, for a call that is aborted then."""
    fold = StreamFold(UpstreamCall(), max_output_chars=100)
    fold.feed(recorded("repeated_finish")[:300])
    assert fold.call.generation_id == "gen-1"
    assert not fold.over
