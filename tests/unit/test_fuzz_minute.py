"""A minute of random and mutated bytes for what reads upstream: nothing but its typed errors may come out of it.

The seed is printed; `FUZZ_SEED=… FUZZ_SECONDS=…` plays the same inputs again. What this finds belongs into a test of
its own: here the inputs are others each time.
"""

import copy
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.fold import apply
from common.sse import Decoder, LineTooLongError, ServerSentEvent
from generator.openrouter import UpstreamCall, UpstreamError
from generator.openrouter.completion import read_completion, read_generation
from generator.openrouter.fold import StreamFold
from generator.plan_parser import ParseError, StreamingJSONParser

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
FIXTURES = Path(__file__).parent / "openrouter" / "fixtures"
STREAMS = [path.read_bytes() for path in sorted(FIXTURES.glob("*.sse"))]

CHUNK: dict[str, Any] = {
    "id": "gen-1",
    "model": "a/b",
    "provider": "P",
    "error": {"code": 429, "message": "m", "metadata": {"error_type": "timeout", "raw": {"a": 1}, "reasons": ["x"]}},
    "choices": [
        {
            "index": 0,
            "delta": {"content": "{", "refusal": None, "reasoning": "r", "reasoning_details": [{"text": "t"}]},
            "message": {"content": "{}", "refusal": None},
            "finish_reason": "stop",
            "error": None,
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.1},
    "data": {"id": "gen-1", "model": "a/b", "native_tokens_prompt": 1, "total_cost": 0.1},
}
DOCUMENT = json.dumps(
    {
        "monthly_summary": 'A \\ "b" \u00e9 \U0001f600',
        "weekly_breakdown": [{"week": 1, "goals": ["x", ""], "n": -1.5e3}],
    }
)
TEXTS = [
    DOCUMENT,
    json.dumps(json.loads(DOCUMENT), ensure_ascii=False, indent=2),
    f"Here it is [1]:\n```json\n{DOCUMENT}\n```\nBye.",
    '\ufeff \n[1, 2.5e-7, true, null, [[]], {}, "\\ud83d\\ude00\\u0000\\ud800"]',
    '4 weeks: {"a": {"a": 1, "a": 2}}',
    "[" * 80 + "]" * 80,
]
TOKENS = [
    *'{}[]",:\\`-+.eE0123456789tfnul \n\r\t',
    "\\u",
    "\\ud83d",
    "\\u0000",
    "\ud800",
    "\0",
    "```",
    '{"',
    "\ufeff",
    "1" * 400,
]
LINES = [
    b"data: ",
    b"data:",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b": comment\n",
    b"id: 1\n",
    b"\xff",
    b"\xe2\x82",
    b"[DONE]",
    b"\xef\xbb\xbf",
]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1e308,
    2**70,
    "",
    "stop",
    "error",
    "429",
    "\ud800",
    [],
    {},
    [None],
    {"code": []},
]


def mutated(rng: random.Random, text: Any, pieces: list[Any]) -> Any:
    """Text or bytes, changed in some places: pieces put in, slices left out, said twice or moved."""
    for _ in range(rng.choice((0, 1, 1, 2, 4, 16))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 2, 8, 64)))
        other = rng.randrange(len(text) + 1)
        put = rng.choice(
            (text[:0], rng.choice(pieces), rng.choice(pieces), text[start:end] * 2, text[other : other + 9])
        )
        text = text[:start] + put + text[end:]
    return text


def split(rng: random.Random, text: Any) -> list[Any]:
    """In pieces of some size, or each of a size of its own."""
    if rng.random() < 0.2:
        return [text]
    largest = rng.choice((1, 3, 17, 400))
    pieces, at = [], 0
    while at < len(text):
        size = rng.randint(1, largest)
        pieces.append(text[at : at + size])
        at += size
    return pieces


def some_chunk(rng: random.Random) -> bytes:
    """A chunk in which some values are others."""
    document = copy.deepcopy(CHUNK)
    for _ in range(rng.randint(0, 4)):
        node: Any = document
        while isinstance(node, dict | list) and node:
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            if rng.random() < 0.4 or not isinstance(node[key], dict | list):
                node[key] = copy.deepcopy(rng.choice(VALUES))
                break
            node = node[key]
    return json.dumps(document).encode()


def some_stream(rng: random.Random) -> bytes:
    """A recorded shape, or chunks of our own, or noise."""
    kind = rng.random()
    if kind < 0.1:
        return rng.randbytes(rng.randrange(200))
    if kind < 0.5:
        return b"".join(b"data: " + some_chunk(rng) + b"\n\n" for _ in range(rng.randint(1, 4)))
    stream: bytes = mutated(rng, rng.choice(STREAMS), LINES)
    return stream


def decode(pieces: list[bytes], bound: int) -> list[ServerSentEvent] | None:
    """The events, or None when one was too long."""
    decoder = Decoder(bound)
    try:
        return [event for piece in pieces for event in decoder.feed(piece)]
    except LineTooLongError:
        return None


def fuzz_decoder(rng: random.Random) -> Iterator[object]:
    """The split does not matter, unless to what is too long."""
    stream = some_stream(rng)
    pieces = split(rng, stream)
    yield pieces
    bound = rng.choice((40, 4_000_000))
    in_pieces, at_once = decode(pieces, bound), decode([stream], bound)
    if in_pieces is not None and at_once is not None:
        assert in_pieces == at_once
    if bound > len(stream):
        assert in_pieces is not None


def fuzz_fold(rng: random.Random) -> Iterator[object]:
    """It ends with the bytes, within its bound, in text that can be encoded, and a failure is one of ours."""
    pieces = split(rng, some_stream(rng))
    yield pieces
    bound = rng.choice((3, 100_000))
    call = UpstreamCall()
    fold = StreamFold(call, max_output_chars=bound)
    text = "".join(fold.feed(piece) for piece in pieces if not fold.over)
    fold.eof()
    assert fold.over
    assert len(text.encode()) <= 4 * bound
    assert fold.failure is None or isinstance(fold.failure, UpstreamError)
    assert call.prompt_tokens >= 0 <= call.completion_tokens
    if fold.failure is not None:
        assert len(str(fold.failure)) < 1000


def fuzz_whole_answers(rng: random.Random) -> Iterator[object]:
    """An answer without streaming is a text or a failure; a record of a generation is one or none."""
    body = some_chunk(rng)
    if rng.random() < 0.5:
        body = mutated(rng, body, LINES)
    yield body
    said: object
    try:
        said = read_completion(body, UpstreamCall())
        assert isinstance(said, str)
    except UpstreamError as error:
        said = error
    assert isinstance(said, str) or len(str(said)) < 1000
    found = read_generation(body)
    assert found is None or found.source == "provider"


def fuzz_parser(rng: random.Random) -> Iterator[object]:
    """What operations tell is what the parser holds, also where it refuses; then it refuses for good."""
    text = mutated(rng, rng.choice(TEXTS), TOKENS) if rng.random() < 0.9 else "".join(rng.choices(TOKENS, k=30))
    pieces = split(rng, text)
    yield pieces
    settings: dict[str, Any] = {"storable": rng.random() < 0.5, "root": rng.choice(("any", "object"))}
    bounds: dict[str, Any] = {"max_chars": rng.choice((25, 500_000)), "max_depth": rng.choice((3, 64))}
    parser = StreamingJSONParser(**settings, **bounds)
    held: Any = None
    refusal: ParseError | None = None
    try:
        for piece in pieces:
            held = apply(held, copy.deepcopy(parser.add_chunk(piece)))
        held = apply(held, copy.deepcopy(parser.close()))
        assert parser.complete
    except ParseError as error:
        refusal = error
        held = apply(held, copy.deepcopy(error.ops))
    if refusal is not None:
        assert 0 <= refusal.offset <= len(text)
        with pytest.raises(ParseError):
            parser.close()
    assert repr(held) == repr(parser.value)
    assert parser.depth <= 64


TARGETS: list[Callable[[random.Random], Iterator[object]]] = [fuzz_decoder, fuzz_fold, fuzz_whole_answers, fuzz_parser]


@pytest.mark.full
@pytest.mark.timeout(2 * SECONDS + 60)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_only_typed_errors(target: Callable[[random.Random], Iterator[object]]) -> None:
    """Whatever the bytes are, no other exception is raised, and the target's laws hold."""
    seed = int(os.environ.get("FUZZ_SEED", random.SystemRandom().getrandbits(32)))
    end, number, given = time.monotonic() + SECONDS / len(TARGETS), 0, None
    try:
        while time.monotonic() < end:
            run = target(random.Random(f"{seed}.{number}"))
            given = next(run)
            assert next(run, None) is None
            number += 1
    except Exception as error:
        raise AssertionError(f"seed {seed}, input {number}: {given!r}") from error
    print(f"{target.__name__}: {number} inputs, seed {seed}")
    assert number > 100
