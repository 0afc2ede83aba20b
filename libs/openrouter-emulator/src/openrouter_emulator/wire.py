"""OpenRouter's traffic as bytes: chunks, usage, the end of a stream, whole answers (fact sheet §2, §3, §5). Pure."""

from dataclasses import dataclass
from typing import Any

import orjson

from openrouter_emulator.behaviours import OddChunk, StreamError, UsageShape

COMMENT = b": OPENROUTER PROCESSING\n\n"
WHITESPACE = b"\n         \n"
DONE = b"data: [DONE]\n\n"

EVENT_STREAM_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
JSON_HEADERS = [(b"content-type", b"application/json")]
EDGE_HEADERS = [
    (b"server", b"cloudflare"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"X-Generation-Id,X-Provider-Name,cf-ray"),
    (b"x-content-type-options", b"nosniff"),
]

PROMPT_PRICE = 0.40e-6
"""USD per token, of the default model."""
COMPLETION_PRICE = 1.60e-6

_TOKEN = "\x00token\x00"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every chunk of one generation repeats."""

    id: str
    created: int
    model: str
    provider: str


def envelope_members(envelope: Envelope, kind: str) -> dict[str, Any]:
    """The members before `choices`, in the recorded order."""
    return {
        "id": envelope.id,
        "object": kind,
        "created": envelope.created,
        "model": envelope.model,
        "provider": envelope.provider,
    }


def sse(document: dict[str, Any]) -> bytes:
    """One data event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


class ChunkEncoder:
    """The chunks of one stream. Everything but the token itself is encoded once."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope_members(envelope, "chat.completion.chunk")
        self._content = self._split_at_token({"content": _TOKEN, "role": "assistant"})
        self._refusal = self._split_at_token({"content": "", "role": "assistant", "refusal": _TOKEN})

    def content(self, token: str) -> bytes:
        """A content delta. The role repeats on each (§2)."""
        before, after = self._content
        return b"%b%b%b" % (before, orjson.dumps(token), after)

    def refusal(self, token: str) -> bytes:
        """A refusal delta."""
        before, after = self._refusal
        return b"%b%b%b" % (before, orjson.dumps(token), after)

    def reasoning(self, token: str, kind: str) -> bytes:
        """A reasoning delta; `token` is the text, the summary or the opaque data of `reasoning_details`."""
        member = {"text": "text", "summary": "summary", "encrypted": "data"}[kind]
        details = {"type": f"reasoning.{kind}", member: token, "format": "anthropic-claude-v1", "index": 0}
        visible = None if kind == "encrypted" else token
        delta = {"content": "", "role": "assistant", "reasoning": visible, "reasoning_details": [details]}
        return sse(self._envelope | {"choices": [_choice(delta)]})

    def finish(self, reason: str, native: str) -> bytes:
        """The content-free chunk that brings the finish reason."""
        return sse(self._envelope | {"choices": [_choice(_empty_delta(), reason, native)]})

    def usage(self, shape: UsageShape, usage: dict[str, Any], reason: str, native: str) -> bytes:
        """The accounting chunk after the finish, in one of its three historical shapes (§2), or nothing."""
        choices: dict[UsageShape, list[dict[str, Any]]] = {
            "repeat_finish": [_choice(_empty_delta(), reason, native)],
            "null_finish": [_choice(_empty_delta())],
            "empty_choices": [],
        }
        if shape == "none":
            return b""
        return sse(self._envelope | {"service_tier": "default", "choices": choices[shape], "usage": usage})

    def odd(self, kind: OddChunk) -> bytes:
        """A chunk without content that decoders stumble over (§10.1)."""
        choices: dict[OddChunk, Any] = {
            "choices_empty": [],
            "choices_null": None,
            "content_null": [_choice({"content": None, "role": "assistant"})],
            "content_empty": [_choice(_empty_delta())],
            "delta_null": [{**_choice({}), "delta": None}],
        }
        return sse(self._envelope if kind == "choices_missing" else self._envelope | {"choices": choices[kind]})

    def error(self, error: StreamError, usage: dict[str, Any]) -> bytes:
        """The error event, in one of its shapes (§3)."""
        body = error_member(error)
        match error.shape:
            case "finish_error":
                choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
                return sse(self._envelope | {"error": body, "choices": [choice]})
            case "empty_choices":
                return sse(self._envelope | {"error": body, "choices": []})
            case "no_choices":
                return sse({"error": body, "user_id": "user_emulator"})
            case "after_length":
                return sse(self._envelope | {"error": body, "choices": [_choice(_empty_delta())], "usage": usage})
            case "choice_level":
                return sse(self._envelope | {"choices": [_choice(_empty_delta(), "error", None) | {"error": body}]})

    def _split_at_token(self, delta: dict[str, Any]) -> tuple[bytes, bytes]:
        before, after = sse(self._envelope | {"choices": [_choice(delta)]}).split(orjson.dumps(_TOKEN))
        return before, after


def error_member(error: StreamError) -> dict[str, Any]:
    """The `error` object inside a 200."""
    metadata = ({"error_type": error.error_type} if error.error_type else {}) | error.metadata
    return {"code": error.code, "message": error.message} | ({"metadata": metadata} if metadata else {})


def usage_member(prompt_tokens: int, completion_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
    """The `usage` object; costs in USD."""
    prompt_cost, completion_cost = costs(prompt_tokens, completion_tokens)
    total = round(prompt_cost + completion_cost, 10)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "cost": total,
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
        "cost_details": {
            "upstream_inference_cost": total,
            "upstream_inference_prompt_cost": prompt_cost,
            "upstream_inference_completions_cost": completion_cost,
        },
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens, "image_tokens": 0, "audio_tokens": 0},
    }


def costs(prompt_tokens: int, completion_tokens: int) -> tuple[float, float]:
    """USD for the prompt and for the completion."""
    return round(prompt_tokens * PROMPT_PRICE, 10), round(completion_tokens * COMPLETION_PRICE, 10)


def completion_body(envelope: Envelope, choices: list[dict[str, Any]] | None, usage: dict[str, Any]) -> dict[str, Any]:
    """A whole non-streaming answer (§5)."""
    return {
        **envelope_members(envelope, "chat.completion"),
        "system_fingerprint": None,
        "service_tier": None,
        "choices": choices,
        "usage": usage,
    }


def completion_choice(content: str, finish_reason: str, native: str | None, refusal: str | None) -> dict[str, Any]:
    """The one choice of a non-streaming answer."""
    message = {"role": "assistant", "content": content, "refusal": refusal, "reasoning": None}
    return {
        "index": 0,
        "logprobs": None,
        "finish_reason": finish_reason,
        "native_finish_reason": native,
        "message": message,
    }


def _choice(delta: dict[str, Any], reason: str | None = None, native: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason, "native_finish_reason": native}


def _empty_delta() -> dict[str, Any]:
    return {"content": "", "role": "assistant"}
