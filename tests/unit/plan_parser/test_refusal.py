"""What is refused: the same as `json.loads` refuses, and NaN and Infinity; where, and why."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.plan_parser import ParseError, StreamingJSONParser

REFUSED = [
    ("[1,]", 3, "expected a value"),
    ("[,1]", 1, "expected a value"),
    ("[1 2]", 3, "expected a comma or ]"),
    ("[1}", 2, "expected a comma or ]"),
    ('{"a":1,}', 7, "expected a key in double quotes"),
    ("{'a':1}", 1, "expected a key in double quotes"),
    ("{a:1}", 1, "expected a key in double quotes"),
    ('{"a" 1}', 5, "expected a colon"),
    ('{"a"}', 4, "expected a colon"),
    ('{"a":}', 5, "expected a value"),
    ('{"a":1 "b":2}', 7, "expected a comma or }"),
    ('{"a":[]]', 7, "expected a comma or }"),
    ("[01]", 2, "invalid number"),
    ("[-]", 2, "invalid number"),
    ("[+1]", 1, "expected a value"),
    ("[.5]", 1, "expected a value"),
    ("[1.]", 3, "invalid number"),
    ("[1.e5]", 3, "invalid number"),
    ("[1e]", 3, "invalid number"),
    ("[1e+]", 4, "invalid number"),
    ("[1e5.2]", 4, "invalid number"),
    ("[1-2]", 2, "invalid number"),
    ("[٣]", 1, "expected a value"),
    ("[NaN]", 1, "expected a value"),
    ("[Infinity]", 1, "expected a value"),
    ("[-Infinity]", 2, "invalid number"),
    ("[nul]", 4, "invalid literal"),
    ("[trUe]", 3, "invalid literal"),
    ("[falsey]", 6, "expected a comma or ]"),
    ('["a\nb"]', 3, "control character in a string"),
    ('["\x1f"]', 2, "control character in a string"),
    ('{"a\t": 1}', 3, "control character in a string"),
    (r'["\x41"]', 3, "invalid escape"),
    (r'["\u12G4"]', 6, "invalid \\u escape"),
    (r'["\u12"]', 6, "invalid \\u escape"),
    (r'["\ud83d\u-e00"]', 10, "invalid \\u escape"),
    (r'["\ud83d\x"]', 9, "invalid escape"),
    ('"a\n"', 2, "control character in a string"),
    ("[\xa01]", 1, "expected a value"),
    ('["a", // no\n "b"]', 6, "expected a value"),
]
TRUNCATED = ["{", '{"a', '{"a"', '{"a":', '{"a":1', '{"a":1,', "[", "[1", "[1,", "[tr", '"a']
TRUNCATED += ['["a', '["a\\', r'["\u12', r'["\ud83d']


@pytest.mark.parametrize(("text", "offset", "reason"), REFUSED)
def test_what_is_no_json_is_refused_with_offset_and_reason(
    text: str, offset: int, reason: str, splits: Callable[..., Any], refusal: Callable[..., ParseError]
) -> None:
    """The offset is that of the first character that cannot stand there, however the text is split."""
    for chunks in splits(text):
        error = refusal(chunks)
        assert (error.offset, error.reason) == (offset, reason)


@pytest.mark.parametrize("text", TRUNCATED)
def test_a_truncated_text_is_refused_by_close(
    text: str, splits: Callable[..., Any], refusal: Callable[..., ParseError]
) -> None:
    """A document that has not ended is refused at the text's end, and what there is of it stays."""
    for chunks in splits(text):
        error = refusal(chunks)
        assert (error.offset, error.reason) == (len(text), "the text is truncated")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


@given(
    document=st.lists(st.floats(-9e9, 9e30) | st.text(max_size=4) | st.none() | st.booleans(), max_size=4)
    | st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 9), max_size=2), max_size=3),
    data=st.data(),
)
def test_a_damaged_document_is_refused_when_json_refuses_it(
    document: Any, data: st.DataObject, feed: Callable[..., Any], refusal: Callable[..., ParseError]
) -> None:
    """One character put in, left out or changed: this parser and the standard library agree."""
    text = json.dumps(document)
    at = data.draw(st.integers(min_value=1, max_value=len(text)))
    rest = text[at + data.draw(st.integers(0, 1)) :]
    text = text[:at] + data.draw(st.sampled_from(["", *'{}[]",:\\0-.eEtfnu \n\x00\x7f\ud83dN'])) + rest
    chunks = [text[i : i + 3] for i in range(0, len(text), 3)]
    try:
        expected, _ = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode(text)
    except ValueError:
        error = refusal(chunks)
        assert 0 < error.offset <= len(text)
        StreamingJSONParser().add_chunk(text[: error.offset])
    else:
        assert repr(feed(chunks)) == repr(expected)


def test_a_refused_text_stays_refused() -> None:
    """Every call after a refusal raises the same, without operations, and `.value` stays readable."""
    parser = StreamingJSONParser()
    with pytest.raises(ParseError, match="expected a value at character 9") as first:
        parser.add_chunk('{"a": [1,,')
    assert [op["path"] for op in first.value.ops] == ["", "/a", "/a/0"]
    for call in (partial(parser.add_chunk, "2]}"), parser.close):
        with pytest.raises(ParseError) as again:
            call()
        assert (again.value.offset, again.value.reason, again.value.ops) == (9, "expected a value", [])
    assert parser.value == {"a": [1]}
    assert not parser.complete


def test_a_refused_chunk_gives_its_string_so_far() -> None:
    """The error's operations reach up to the refused character, also within a string."""
    with pytest.raises(ParseError) as refused:
        StreamingJSONParser().add_chunk('["ab\n')
    assert refused.value.ops[1:] == [{"op": "add", "path": "/0", "value": "ab"}]


def test_an_integer_of_too_many_digits_is_refused() -> None:
    """Python converts no integer of more than 4,300 digits, and neither does `json.loads`."""
    text = f"[{'9' * 5000}]"
    with pytest.raises(ValueError, match="digits"):
        json.loads(text)
    with pytest.raises(ParseError, match="too many digits at character 1"):
        StreamingJSONParser().add_chunk(text)
