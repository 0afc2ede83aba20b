"""What stands around the document: a BOM, prose, Markdown fences, and what follows."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.plan_parser import ParseError, StreamingJSONParser

ANY_ROOT = [
    ('\ufeff {"a": 1}', {"a": 1}),
    ('```json\n{"a": 1}\n```', {"a": 1}),
    ('``` json\n{"a": 1}\n```', {"a": 1}),
    ('```{"a": 1}```', {"a": 1}),
    ('\ufeff\n```JSON\r\n["a"]\r\n```\nEnjoy!', ["a"]),
    ("```json\n[1]\n```", [1]),
    ("```json\n42\n```", 42),
    ('```\n"text"\n``` and more', "text"),
    ('Sure! Here is your plan:\n\n```json\n{"a": []}\n```\nAnything [else]?', {"a": []}),
    ('Here is [the plan]: {"a": 1}', {"a": 1}),
    ('As in [1] and [ ], `x` and {name}: {"a": {"b": 2}} or {"c": 3}', {"a": {"b": 2}}),
    ('See [[the plan](x)]: {"a": 1}', {"a": 1}),
    ("It is: {}", {}),
    ("It is: { \n }", {}),
    ("It is: []", []),
    ('It is: ["a"]', ["a"]),
    ('It is: [{"a": 1}] and {"b": 2}', [{"a": 1}]),
    ("It is: [ -1.5e2, 2]", [-150.0, 2]),
    ("It is: [true , 2]", [True, 2]),
    ("It is: [[1], [2]]", [[1], [2]]),
    ("It is: [ [ ], 1]", [[], 1]),
    ('4 weeks: {"a": 1}', {"a": 1}),
    ('4 is ```\n"text"\n```', "text"),
    ('1. The plan {"a": 1}', {"a": 1}),
    ('- the plan {"a": 1}', {"a": 1}),
    ('nothing but {"a": 1}', {"a": 1}),
    ('true story: {"a": 1}', {"a": 1}),
    ('"My plan" is {"a": 1}', {"a": 1}),
    ('Run ``sh`` or ```sh\nls\n``` for {"a": 1}', {"a": 1}),
    ('{"a": 1} {"b": 2}', {"a": 1}),
    ("[1]]", [1]),
    ('{"a": 1}}\x00 \\ "', {"a": 1}),
]
OBJECT_ROOT = [
    ('As in ["the" plan], [1, 2] and [[]]: {"a": 1}', {"a": 1}),
    ('[1, 2] {"a": 1}', {"a": 1}),
    ('"My {plan}\n" is {"a": 1}', {"a": 1}),
    ('42 {"a": 1}', {"a": 1}),
    ('null ```json\n{"a": 1}\n```', {"a": 1}),
    ('\ufeff{"a": [1]}', {"a": [1]}),
]


@pytest.mark.parametrize(("text", "document"), ANY_ROOT)
def test_the_document_is_found_in_what_surrounds_it(
    text: str, document: Any, feed: Callable[..., Any], splits: Callable[..., Any]
) -> None:
    """The document is the same whatever stands around it, however the text is split."""
    for chunks in splits(text):
        assert repr(feed(chunks)) == repr(document)


@pytest.mark.parametrize(("text", "document"), OBJECT_ROOT)
def test_an_expected_object_passes_over_everything_else(
    text: str, document: Any, feed: Callable[..., Any], splits: Callable[..., Any]
) -> None:
    """With root="object", arrays and scalars before the object are prose."""
    for chunks in splits(text):
        assert feed(chunks, root="object") == document


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        ("", 0, "no JSON document"),
        (" \n", 2, "no JSON document"),
        ("I cannot help with [that].", 0, "no JSON document: it begins with other text"),
        (" ```json\n", 9, "no JSON document"),
        ("4 weeks", 2, "no JSON document: text follows a scalar"),
        ('"a" "b"', 4, "no JSON document: text follows a scalar"),
        ("nullify", 4, "no JSON document: text follows a scalar"),
        ("nil", 1, "no JSON document: invalid literal"),
        ("01", 1, "no JSON document: invalid number"),
        ("Hm: [", 0, "no JSON document: it begins with other text"),
        (" \ufeff42", 1, "no JSON document: it begins with other text"),
        ("42 `", 3, "no JSON document: text follows a scalar"),
    ],
)
def test_a_text_without_a_document_is_refused_at_close(
    text: str, offset: int, reason: str, splits: Callable[..., Any], refusal: Callable[..., Any]
) -> None:
    """No document, no value: close() says where the text stopped being one. A late BOM is prose."""
    for chunks in splits(text):
        error = refusal(chunks)
        assert (error.offset, error.reason) == (offset, reason)


def test_a_root_scalar_is_taken_back_when_text_follows() -> None:
    """`.complete` of a root scalar holds only until other text shows that it was prose."""
    parser = StreamingJSONParser()
    complete = []
    for chunk in ('"My plan', '"', " ", "is"):
        parser.add_chunk(chunk)
        complete.append(parser.complete)
    assert complete == [False, True, True, False]
    assert parser.add_chunk(' {"') == [{"op": "add", "path": "", "value": {}}]


def test_what_follows_the_document_gives_nothing() -> None:
    """After the document any text is ignored, also after close()."""
    parser = StreamingJSONParser(max_chars=9)
    assert parser.add_chunk('{"a": 1} and {"b": 2}')[1:] == [{"op": "add", "path": "/a", "value": 1}]
    assert parser.add_chunk('["c"] \x00') == []
    assert parser.close() == []
    assert parser.add_chunk("d") == []
    assert parser.value == {"a": 1}


PIECES = [
    "{",
    "}",
    "[",
    "]",
    '"',
    "`",
    "```",
    "json",
    " ",
    "\n",
    "a",
    ",",
    ":",
    "1",
    "-",
    "true",
    "null",
    "\\",
    "\ufeff",
    '{"',
    "e",
]


def _outcome(chunks: list[str], root: Any, max_chars: int) -> tuple[Any, ...]:
    parser = StreamingJSONParser(root=root, max_chars=max_chars)
    try:
        for chunk in chunks:
            parser.add_chunk(chunk)
        parser.close()
    except ParseError as error:
        return error.offset, error.reason, repr(parser.value)
    return (repr(parser.value),)


@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=20),
    cut=st.integers(1, 5),
    root=st.sampled_from(["any", "object"]),
    max_chars=st.sampled_from([5, 1000]),
)
def test_the_outcome_never_depends_on_the_split(pieces: list[str], cut: int, root: str, max_chars: int) -> None:
    """Any text, JSON or not: the same value, or the same refusal at the same place."""
    text = "".join(pieces)
    chunks = [text[at : at + cut] for at in range(0, len(text), cut)]
    assert _outcome(chunks, root, max_chars) == _outcome([text], root, max_chars)
