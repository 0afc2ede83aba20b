"""How the parser's tests feed it: pure functions as fixtures, shared by every test."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from common.fold import apply
from generator.plan_parser import ParseError, StreamingJSONParser


@pytest.fixture(scope="session")
def feed() -> Callable[..., Any]:
    """Feed chunks, hold the fold against `.value` after each, close, and return the document."""

    def feed_chunks(chunks: Sequence[str], **options: Any) -> Any:
        parser = StreamingJSONParser(**options)
        document = None
        for chunk in chunks:
            document = apply(document, copy.deepcopy(parser.add_chunk(chunk)))
            assert repr(document) == repr(parser.value)
        document = apply(document, parser.close())
        assert repr(document) == repr(parser.value)
        assert parser.complete
        return document

    return feed_chunks


@pytest.fixture(scope="session")
def splits() -> Callable[[str], Iterator[list[str]]]:
    """Every split of a text into two, and into equal chunks of 1, 2, 3, 4 and 7 characters."""

    def split(text: str) -> Iterator[list[str]]:
        yield from ([text[:at], text[at:]] for at in range(len(text) + 1))
        yield from ([text[at : at + size] for at in range(0, len(text), size)] for size in (1, 2, 3, 4, 7))

    return split


@pytest.fixture(scope="session")
def refusal() -> Callable[..., ParseError]:
    """Feed chunks that must be refused, hold the fold with the error's operations against `.value`; the error."""

    def refuse(chunks: Sequence[str], **options: Any) -> ParseError:
        parser = StreamingJSONParser(**options)
        document = None
        with pytest.raises(ParseError) as refused:  # noqa: PT012 - whichever call it is
            for chunk in chunks:
                document = apply(document, copy.deepcopy(parser.add_chunk(chunk)))
            parser.close()
        assert repr(apply(document, copy.deepcopy(refused.value.ops))) == repr(parser.value)
        assert not parser.complete
        return refused.value

    return refuse
