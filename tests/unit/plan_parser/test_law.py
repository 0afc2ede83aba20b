"""The law: folding the operations of any split = `.value` = `json.loads` of the whole."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

CORPUS = [
    "{}",
    "[]",
    " [ ] ",
    '""',
    '"text"',
    "null",
    "true",
    " false\n",
    "0",
    "-0",
    "-0.0",
    "1e999",
    "-12.50e+3 ",
    "[[[]], {}, [{}]]",
    "[1, -2.5, 3E-2, 0, true, false, null]",
    '{"a": 1, "b": [2, {"c": "d"}], "e": {}, "": ""}',
    '{"~": 1, "/": [1], "~1": {"~0": "a/b~c"}, "": {"": 2}}',
    '{"a": 1, "b": "two", "a": {"c": 3}, "b": "again"}',
    r'{"a\"b\\c\u0041\ud83d\ude00": "\"\\\/\b\f\n\r\t\u0000\u00e9\uFFFF"}',
    r'["\ud83d\ude00", "\uD83D\uDE00x", "😀", "é\u0301"]',
    r'["\ud83d", "\ude00", "\ud83dx", "\ud83d\n", "\ud83d\u0041", "\ud83d\ud83d\ude00", "\ud83d\ud83d"]',
    '\n{\r\n\t"a" :\t[ 1 ,\n 2 ] ,\r "b" : " " }\n',
    '{"monthly_summary": "Run, \\"rest\\", run.", "weekly_breakdown": [{"week": 1, "goals": ["5 km", "10 km"],'
    ' "daily_tasks": {"monday": [{"start_time": "09:00", "end_time": "10:00"}], "tuesday": []}}]}',
]

CHARACTERS = st.characters(codec=None) | st.sampled_from('"\\/~\n\t\ud83d\ude00{}[]:,` ')
TEXT = st.text(CHARACTERS, max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
DOCUMENTS = st.recursive(
    SCALARS, lambda child: st.lists(child, max_size=4) | st.dictionaries(TEXT, child, max_size=4), max_leaves=15
)


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """A document as JSON text, in one of the ways `json.dumps` can spell it."""
    return json.dumps(
        draw(DOCUMENTS),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 2, "\t"])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")])),
    )


@pytest.mark.parametrize("text", CORPUS)
def test_every_split_of_the_corpus_gives_the_document(
    text: str, feed: Callable[..., Any], splits: Callable[..., Any]
) -> None:
    """Whatever the split, also within escapes, surrogate pairs, numbers and literals, the law holds."""
    for chunks in splits(text):
        assert repr(feed(chunks)) == repr(json.loads(text))


@given(text=spelled(), cuts=st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=8))
def test_any_split_of_any_document_gives_the_document(text: str, cuts: list[int], feed: Callable[..., Any]) -> None:
    """The law holds for arbitrary documents, cut into chunks of arbitrary lengths."""
    chunks, at, turn = [], 0, 0
    while at < len(text):
        length = cuts[turn % len(cuts)]
        chunks.append(text[at : at + length])
        at, turn = at + length, turn + 1
    assert repr(feed(chunks)) == repr(json.loads(text))


@given(document=DOCUMENTS)
def test_the_whole_text_at_once_gives_the_document(document: Any, feed: Callable[..., Any]) -> None:
    """The law holds for the split that is none."""
    text = json.dumps(document)
    assert repr(feed([text])) == repr(json.loads(text))


def test_empty_chunks_change_nothing(feed: Callable[..., Any]) -> None:
    """An empty chunk is no chunk, wherever it comes."""
    assert feed(["", '{"a', "", '": "b', "", "", '", "c": 1', "", "2}", ""]) == {"a": "b", "c": 12}
