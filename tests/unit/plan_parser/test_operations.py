"""Which operations a chunk gives."""

import pytest

from common.contracts.ops import Op
from generator.plan_parser import ParseError, StreamingJSONParser


def test_a_string_is_an_add_with_what_is_there_and_then_appends() -> None:
    """Strings grow: `add` at their start, one `append` for each chunk after."""
    parser = StreamingJSONParser()
    assert parser.add_chunk('{"a": "On') == [
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "path": "/a", "value": "On"},
    ]
    assert parser.add_chunk("e t") == [{"op": "append", "path": "/a", "value": "e t"}]
    assert parser.add_chunk(r"w\u006f \n") == [{"op": "append", "path": "/a", "value": "wo \n"}]
    assert parser.value == {"a": "One two \n"}


def test_an_opened_string_is_told_before_it_has_text() -> None:
    """A chunk that ends at the opening quote adds the empty string."""
    assert StreamingJSONParser().add_chunk('["')[1:] == [{"op": "add", "path": "/0", "value": ""}]


@pytest.mark.parametrize("piece", ["\\", r"\u00", r"\ud83d", r"\ud83d\u"])
def test_half_an_escape_gives_no_operation(piece: str) -> None:
    """An escape, and a surrogate pair, is told when it is whole."""
    parser = StreamingJSONParser()
    parser.add_chunk('["')
    assert parser.add_chunk(piece) == []
    assert parser.value == [""]


def test_an_empty_chunk_gives_no_operation() -> None:
    """Nothing in, nothing out, also within a string."""
    parser = StreamingJSONParser()
    parser.add_chunk('["a')
    assert parser.add_chunk("") == []


def test_the_end_of_a_string_gives_no_operation() -> None:
    """A closing quote adds nothing to a string."""
    parser = StreamingJSONParser()
    parser.add_chunk('["a')
    assert parser.add_chunk('", ') == []


def test_one_chunk_with_several_strings_gives_one_operation_for_each() -> None:
    """What a chunk brings of one string is one operation, beside those of other strings."""
    parser = StreamingJSONParser()
    parser.add_chunk('["a')
    assert parser.add_chunk(r'b\tc", "d\"e", "f') == [
        {"op": "append", "path": "/0", "value": "b\tc"},
        {"op": "add", "path": "/1", "value": 'd"e'},
        {"op": "add", "path": "/2", "value": "f"},
    ]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (["[1", "2", ",", "3"], [[], [], [12], []]),
        (["[tr", "ue", ", nul", "l"], [[], [True], [], [None]]),
        (['{"k', 'ey": ', "-1.5e1", "}"], [[], [], [], [-15.0]]),
    ],
)
def test_numbers_literals_and_keys_appear_when_complete(chunks: list[str], expected: list[list[object]]) -> None:
    """No half number, literal or key is ever told."""
    parser = StreamingJSONParser()
    told = [[op["value"] for op in parser.add_chunk(chunk) if op["path"]] for chunk in chunks]
    assert told == expected


def test_containers_are_told_empty_when_opened() -> None:
    """Containers are an `add` of {} or []; elements have their index, keys are escaped as RFC 6901 says."""
    ops: list[Op] = StreamingJSONParser().add_chunk('{"a/b~c": [[], {"": 1}]}')
    assert ops == [
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "path": "/a~1b~0c", "value": []},
        {"op": "add", "path": "/a~1b~0c/0", "value": []},
        {"op": "add", "path": "/a~1b~0c/1", "value": {}},
        {"op": "add", "path": "/a~1b~0c/1/", "value": 1},
    ]


def test_operations_do_not_share_containers_with_the_document() -> None:
    """A container that was told stays empty, however the document grows."""
    parser = StreamingJSONParser()
    ops = parser.add_chunk('{"a": [')
    parser.add_chunk("1, 2]}")
    assert [op["value"] for op in ops] == [{}, []]


def test_a_root_number_is_told_by_close() -> None:
    """Only the end of the text completes a number at the root."""
    parser = StreamingJSONParser()
    assert parser.add_chunk("4") == parser.add_chunk("2 ") == []
    before = parser.complete
    assert parser.close() == [{"op": "add", "path": "", "value": 42}]
    assert (before, parser.complete) == (False, True)
    assert parser.close() == []


@pytest.mark.parametrize("text", ["{}", "[1]", '"a"', "null"])
def test_other_roots_are_complete_with_their_last_character(text: str) -> None:
    """`.complete` turns true with the character that ends the document."""
    parser = StreamingJSONParser()
    parser.add_chunk(text[:-1])
    before = parser.complete
    parser.add_chunk(text[-1])
    assert (before, parser.complete) == (False, True)


def test_the_value_is_none_before_the_document_begins() -> None:
    """A fold of nothing and `.value` agree."""
    parser = StreamingJSONParser()
    parser.add_chunk("Here it is: ")
    assert parser.value is None
    assert not parser.complete


def test_depth_counts_what_is_open() -> None:
    """Objects and arrays, not strings; a refusal leaves it where it was."""
    parser = StreamingJSONParser()
    depths = []
    for piece in ("Here: ", '{"a": ', '["b', '", {', "}", "]"):
        parser.add_chunk(piece)
        depths.append(parser.depth)
    assert depths == [0, 1, 2, 3, 2, 1]
    with pytest.raises(ParseError):
        parser.add_chunk("oops")
    assert parser.depth == 1
