"""The JSON answers: a completion without streaming, and the record of a generation. Pure."""

from typing import Any

import orjson

from common.contracts.errors import ErrorCode
from generator.openrouter.call import UpstreamCall, amount, count, label
from generator.openrouter.chunks import error_of
from generator.openrouter.failures import UpstreamError, from_error


def read_completion(body: bytes, call: UpstreamCall) -> str:
    """The text of a whole chat.completion; `call` is filled also when it fails.

    Args:
        body: it may start with whitespace, which keeps the connection alive while the model works.
        call: the record to fill.

    Raises:
        UpstreamError: the body is an error, a refusal, cut off, or holds no choice (which passes).
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise _transient(f"not a JSON object: {body[:200].decode(errors='replace')}")
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {}
    text = message.get("content")
    text = text if isinstance(text, str) else ""
    _record(document, choice, len(text), call)
    if (error := error_of(document, choice)) is not None:
        raise from_error(error, after_content=bool(text))
    refusal = message.get("refusal")
    if refusal or call.finish_reason == "content_filter":
        detail = f"refused: {refusal or 'content_filter'}"
        raise UpstreamError(ErrorCode.CONTENT_REFUSED, detail, retryable=False, after_content=bool(text))
    if not text and call.finish_reason != "length":
        raise _transient(f"an answer without content, finish_reason {call.finish_reason}")
    return text


def read_generation(body: bytes) -> UpstreamCall | None:
    """The usage in an answer of `GET /generation`, or None when it is no such record.

    The native counts are what is billed; the others are a normalized count.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or label(data.get("id")) is None:
        return None
    call = UpstreamCall(
        generation_id=label(data.get("id")),
        provider=label(data.get("provider_name")),
        model=label(data.get("model")),
        finish_reason=label(data.get("finish_reason")) or ("cancelled" if data.get("cancelled") else None),
    )
    tokens = [_tokens(data, kind) for kind in ("prompt", "completion")]
    cost = amount(data.get("total_cost"))
    call.report(tokens[0], tokens[1], amount(data.get("usage")) if cost is None else cost)
    return call


def _tokens(data: dict[str, Any], kind: str) -> int:
    return count(data.get(f"native_tokens_{kind}")) or count(data.get(f"tokens_{kind}"))


def _record(document: dict[str, Any], choice: dict[str, Any], chars: int, call: UpstreamCall) -> None:
    call.generation_id = label(document.get("id")) or call.generation_id
    call.model = label(document.get("model"))
    call.provider = label(document.get("provider"))
    call.finish_reason = label(choice.get("finish_reason"))
    call.chars = chars
    usage = document.get("usage")
    if isinstance(usage, dict) and usage:
        tokens = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
        call.report(*tokens, amount(usage.get("cost")))


def _transient(detail: str) -> UpstreamError:
    return UpstreamError(ErrorCode.UPSTREAM_ERROR, detail, retryable=True)
