"""The bounds: depth, size, and the work for a chunk."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from generator.plan_parser import ParseError, StreamingJSONParser


def test_containers_nest_up_to_the_bound() -> None:
    """64 containers within each other are accepted, as many as the constructor says otherwise."""
    for depth, parser in (
        (64, StreamingJSONParser()),
        (3, StreamingJSONParser(max_depth=3)),
        (5000, StreamingJSONParser(max_depth=5000)),
    ):
        parser.add_chunk("[" * depth + "]" * depth)
        assert parser.complete


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_one_container_more_is_refused(bracket: str, refusal: Callable[..., ParseError]) -> None:
    """The bracket that goes too deep is where the text is refused."""
    error = refusal([bracket * 70])
    assert (error.offset, error.reason) == (64 * len(bracket), "nested deeper than 64")


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('{"a": "bcd"}', False),
        ('{"a": "bcd"} and more', False),
        ('{"a": "bcde"}', True),
        ('{"a": "bcdefghi', True),
        ("A good plan: {}", True),
        ("1234567890 12", True),
        ("             ", True),
    ],
)
def test_the_size_is_bounded_alike_for_every_split(
    text: str, refused: bool, feed: Callable[..., Any], splits: Callable[..., Any], refusal: Callable[..., ParseError]
) -> None:
    """The document must end within `max_chars`, prose included; what follows it does not count."""
    for chunks in splits(text):
        if refused:
            error = refusal(chunks, max_chars=12)
            assert (error.offset, error.reason) == (12, "longer than 12 characters")
        else:
            assert feed(chunks, max_chars=12) == {"a": "bcd"}


def test_the_size_is_bounded_by_default() -> None:
    """Without a word, 512 KiB of characters are the end."""
    parser = StreamingJSONParser()
    parser.add_chunk('"' + "a" * (512 * 1024 - 1))
    with pytest.raises(ParseError, match="longer than 524288 characters"):
        parser.add_chunk("a")


@pytest.mark.parametrize(
    ("before", "chunk", "after"),
    [
        ('["', "word " * 8, '"]'),
        ('["', r"\n\u00e9" * 5, '"]'),
        ('{"', "long key" * 5, '": 1}'),
        ("[0.", "0123456789" * 4, "]"),
        ("[", " " * 40, "1]"),
        ("", " " * 40, "1"),
        ("Prose: ", "{ [ `` {{ [[ word `" * 2, '{"a": 1}'),
        ("Prose: ", "[" * 40, 'x {"a": 1}'),
        ("[", '1, "a", ' * 5, "1]"),
    ],
)
def test_the_work_follows_the_chunk_and_not_the_document(before: str, chunk: str, after: str) -> None:
    """Thirty times the text takes about thirty times as long; work that follows the text would take 900 times."""
    seconds = {}
    for count in (100, 3000):
        parser = StreamingJSONParser(max_chars=10**7)
        parser.add_chunk(before)
        seconds[count] = _time_of(parser, chunk, count)
        parser.add_chunk(after)
        parser.close()
    assert seconds[3000] < 150 * seconds[100] + 0.05


def _time_of(parser: StreamingJSONParser, chunk: str, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        parser.add_chunk(chunk)
    return time.perf_counter() - began


def test_a_large_document_keeps_the_law(feed: Callable[..., Any]) -> None:
    """A document of a few hundred kilobytes in chunks of the socket's size."""
    document = {f"key {n}": [{"text": 'a "b" \n é' * (n % 50)}, n, n / 7] for n in range(1000)}
    text = json.dumps(document)
    assert feed([text[at : at + 65536] for at in range(0, len(text), 65536)], max_chars=10**7) == document
