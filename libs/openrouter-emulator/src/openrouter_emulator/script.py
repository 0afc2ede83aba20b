"""An answer as a sequence of steps: what is sent, what waits for its turn, how it ends. Pure; `streaming` plays it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import orjson

from openrouter_emulator import wire
from openrouter_emulator.answer import reasoning_tokens, split_tokens
from openrouter_emulator.behaviours import Behaviour

TRUNCATED = "length"
REFUSED = "content_filter"


@dataclass(frozen=True, slots=True)
class Say:
    """Bytes that are due at once."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """No tokens for so long (None: for ever); `keepalive` is sent at every interval, unless it is empty."""

    seconds: float | None
    keepalive: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The last step. `data` goes out with it; a reset cuts `data` in half, and the connection with it."""

    data: bytes
    how: Literal["complete", "cut", "reset"]
    failed: bool
    tokens: int
    """Completion tokens up to here."""
    finish_reason: str | None = None
    native_finish_reason: str | None = None


Step = bytes | Say | Wait | End
"""Plain bytes are one token, due at the stream's pace; empty ones are a hidden token."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be served."""

    envelope: wire.Envelope
    text: str
    prompt_tokens: int
    max_tokens: int | None
    chars_per_token: int
    hides_reasoning: bool
    ttft_seconds: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class _Ending:
    """Where the tokens end, and why."""

    kind: Literal["finish", "length", "error", "eof", "reset"]
    tokens: int


def completion_tokens(answer: Answer, behaviour: Behaviour) -> int:
    """How many tokens the whole answer has, when nothing cuts it off."""
    text = answer.text if behaviour.refusal is None else behaviour.refusal
    return behaviour.reasoning_tokens + -(-len(text) // answer.chars_per_token)


def stream_script(answer: Answer, behaviour: Behaviour) -> Iterator[Step]:
    """The steps of a streamed answer."""
    encoder = wire.ChunkEncoder(answer.envelope)
    ending = _ending(answer, behaviour)
    yield Wait(answer.ttft_seconds, _keepalive(behaviour.comments))
    events = _token_events(answer, behaviour, encoder)
    for served in range(ending.tokens):
        if served == behaviour.stall_after_tokens:
            yield _stall(behaviour)
        event = next(events)
        yield event
        if served == 0:
            yield from (Say(encoder.odd(kind)) for kind in behaviour.odd_chunks)
    if behaviour.stall_after_tokens == ending.tokens:
        yield _stall(behaviour)
    yield from _stream_end(answer, behaviour, encoder, ending, next(events, b""))


def whole_script(answer: Answer, behaviour: Behaviour) -> Iterator[Step]:
    """The steps of a non-streaming answer: white space while the model writes, then the document (§5)."""
    ending = _ending(answer, behaviour)
    keepalive = wire.WHITESPACE if behaviour.comments else b""
    if behaviour.leading_whitespace:
        yield Say(wire.WHITESPACE * behaviour.leading_whitespace)
    yield Wait(answer.ttft_seconds, keepalive)
    stall = behaviour.stall_after_tokens
    if stall is not None and stall <= ending.tokens:
        yield Wait(stall / answer.tokens_per_second, keepalive)
        yield Wait(behaviour.stall_seconds, keepalive if behaviour.stall_comments else b"")
    yield Wait(ending.tokens / answer.tokens_per_second, keepalive)
    body = orjson.dumps(_whole_document(answer, behaviour, ending))
    match ending.kind:
        case "eof":
            yield End(body[: len(body) // 2], behaviour.eof_framing, failed=True, tokens=ending.tokens)
        case "reset":
            yield End(body, "reset", failed=True, tokens=ending.tokens)
        case "error":
            yield End(body, "complete", failed=True, tokens=ending.tokens, finish_reason="error")
        case "length" | "finish":
            yield End(body, "complete", False, ending.tokens, *_finish(behaviour, ending))


def _ending(answer: Answer, behaviour: Behaviour) -> _Ending:
    total = completion_tokens(answer, behaviour)
    limit = behaviour.length_after_tokens
    if answer.max_tokens is not None:
        limit = answer.max_tokens if limit is None else min(limit, answer.max_tokens)
    ending = _Ending("finish", total) if limit is None or limit >= total else _Ending("length", limit)
    if behaviour.stream_error is not None:
        return _Ending("error", min(behaviour.stream_error.after_tokens, ending.tokens))
    if behaviour.eof_after_tokens is not None:
        return _Ending("eof", min(behaviour.eof_after_tokens, ending.tokens))
    if behaviour.reset_after_tokens is not None:
        return _Ending("reset", min(behaviour.reset_after_tokens, ending.tokens))
    return ending


def _token_events(answer: Answer, behaviour: Behaviour, encoder: wire.ChunkEncoder) -> Iterator[bytes]:
    size = answer.chars_per_token
    said = (
        map(encoder.content, split_tokens(answer.text, size))
        if behaviour.refusal is None
        else map(encoder.refusal, split_tokens(behaviour.refusal, size))
    )
    return chain(_reasoning_events(answer, behaviour, encoder), said)


def _reasoning_events(answer: Answer, behaviour: Behaviour, encoder: wire.ChunkEncoder) -> Iterator[bytes]:
    kind = behaviour.reasoning_kind
    for number, token in enumerate(reasoning_tokens(behaviour.reasoning_tokens)):
        last = number == behaviour.reasoning_tokens - 1
        if answer.hides_reasoning or (kind == "encrypted" and not last):
            yield b""
        elif kind == "encrypted":
            yield encoder.reasoning("gAAAAAB" + "x" * behaviour.encrypted_chars, kind)
        else:
            yield encoder.reasoning(token, kind)


def _stream_end(
    answer: Answer, behaviour: Behaviour, encoder: wire.ChunkEncoder, ending: _Ending, unsent: bytes
) -> Iterator[Step]:
    done = wire.DONE if behaviour.done else b""
    usage = _usage(answer, behaviour, ending)
    match ending.kind:
        case "eof":
            yield End(b"", behaviour.eof_framing, failed=True, tokens=ending.tokens)
        case "reset":
            cut_event = unsent or encoder.finish(behaviour.finish_reason, behaviour.native_finish_reason)
            yield End(cut_event, "reset", failed=True, tokens=ending.tokens)
        case "error":
            assert behaviour.stream_error is not None
            after_length = behaviour.stream_error.shape == "after_length"
            said = encoder.finish(TRUNCATED, TRUNCATED) if after_length else b""
            wants_done = after_length if behaviour.stream_error.done is None else behaviour.stream_error.done
            said += encoder.error(behaviour.stream_error, usage) + (wire.DONE if wants_done else b"")
            yield End(said, "complete", failed=True, tokens=ending.tokens, finish_reason="error")
        case "length" | "finish":
            reason, native = _finish(behaviour, ending)
            yield Say(encoder.finish(reason, native))
            said = encoder.usage(behaviour.usage_shape, usage, reason, native) + done
            yield End(said, "complete", False, ending.tokens, reason, native)


def _whole_document(answer: Answer, behaviour: Behaviour, ending: _Ending) -> dict[str, Any]:
    error = None if behaviour.stream_error is None else wire.error_member(behaviour.stream_error)
    if error is not None and ending.tokens == 0:
        return {"error": error, "user_id": "user_emulator"}
    spoken = max(0, ending.tokens - behaviour.reasoning_tokens) * answer.chars_per_token
    reason, native = _finish(behaviour, ending)
    content = answer.text[:spoken] if behaviour.refusal is None else ""
    refusal = None if behaviour.refusal is None else behaviour.refusal[:spoken]
    choice = wire.completion_choice(content, reason, native, refusal)
    if error is not None:
        choice |= {"finish_reason": "error", "native_finish_reason": None, "error": error}
    choices = {"one": [choice], "empty": [], "null": None, "missing": None}[behaviour.choices]
    document = wire.completion_body(answer.envelope, choices, _usage(answer, behaviour, ending))
    if behaviour.choices == "missing":
        del document["choices"]
    return document


def _usage(answer: Answer, behaviour: Behaviour, ending: _Ending) -> dict[str, Any]:
    reasoning = min(behaviour.reasoning_tokens, ending.tokens)
    return wire.usage_member(answer.prompt_tokens, ending.tokens, reasoning)


def _finish(behaviour: Behaviour, ending: _Ending) -> tuple[str, str]:
    if ending.kind == "length":
        return TRUNCATED, TRUNCATED
    if behaviour.refusal is not None:
        return REFUSED, REFUSED
    return behaviour.finish_reason, behaviour.native_finish_reason


def _keepalive(wanted: bool) -> bytes:
    return wire.COMMENT if wanted else b""


def _stall(behaviour: Behaviour) -> Wait:
    return Wait(behaviour.stall_seconds, _keepalive(behaviour.stall_comments))
