"""A chat completion request: read and refused as OpenRouter does (fact sheet §1, §4)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

DEFAULT_MODEL = "openai/gpt-4.1-mini"
MAX_MODELS = 3
MAX_STOPS = 4
MAX_SESSION_ID = 256

_MODEL_ID = re.compile(r"[^\s/]+/[^\s/]+")
_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PROVIDER_KEYS = frozenset(
    {"order", "only", "ignore", "allow_fallbacks", "require_parameters", "sort", "max_price", "data_collection", "zdr"}
    | {"quantizations", "preferred_min_throughput", "preferred_max_latency", "enforce_distillable_text"}
)


class RequestRefusedError(Exception):
    """A request that gets an HTTP error before commitment."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the answer depends on."""

    body: dict[str, Any]
    models: tuple[str, ...]
    prompt: str
    last_user_message: str
    stream: bool
    max_tokens: int | None
    session_id: str | None
    seed: int | None
    wants_schema: bool
    hides_reasoning: bool


def read_chat_request(raw: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """Read a request body.

    Args:
        raw: the body's bytes.
        headers: with lower-case names; only `x-session-id` is read, which the body's `session_id` beats.

    Raises:
        RequestRefusedError: what OpenRouter would refuse with a 400.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestRefusedError(f"Invalid JSON in request body: {error}") from error
    if not isinstance(body, dict):
        raise RequestRefusedError("Invalid request body: expected an object")
    texts = _message_texts(body.get("messages"))
    _check_parameters(body)
    reasoning = _object(body, "reasoning")
    limits = [limit for name in ("max_completion_tokens", "max_tokens") if (limit := body.get(name)) is not None]
    return ChatRequest(
        body=body,
        models=_models(body),
        prompt="\n\n".join(text for _role, text in texts),
        last_user_message=next((text for role, text in reversed(texts) if role == "user"), texts[-1][1]),
        stream=body.get("stream") is True,
        max_tokens=limits[0] if limits else None,
        session_id=body.get("session_id") or headers.get("x-session-id"),
        seed=body.get("seed"),
        wants_schema=_object(body, "response_format").get("type") == "json_schema",
        hides_reasoning=reasoning.get("exclude") is True,
    )


def _message_texts(messages: Any) -> list[tuple[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise RequestRefusedError('Input required: specify "prompt" or "messages"')
    texts = []
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestRefusedError(f"Invalid input: messages[{position}].role is required")
        texts.append((message["role"], _text(message.get("content"))))
    return texts


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # content parts: [{"type": "text", "text": "…"}, …]
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _models(body: dict[str, Any]) -> tuple[str, ...]:
    fallbacks = body.get("models") or []
    if not isinstance(fallbacks, list) or not all(isinstance(model, str) for model in fallbacks):
        raise RequestRefusedError("Invalid input: 'models' must be an array of strings")
    if len(fallbacks) > MAX_MODELS:
        raise RequestRefusedError(f"'models' array must have {MAX_MODELS} items or fewer.")
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise RequestRefusedError("Invalid input: 'model' must be a string")
    first = [model] if model and model not in fallbacks else []
    models = (*first, *fallbacks) or (DEFAULT_MODEL,)
    for name in models:
        if not _MODEL_ID.fullmatch(name):
            raise RequestRefusedError(f"{name} is not a valid model ID")
    return models


def _check_parameters(body: dict[str, Any]) -> None:
    unknown = [key for key in _object(body, "provider") if key not in _PROVIDER_KEYS]
    if unknown:
        raise RequestRefusedError("Unrecognized key(s) in object: " + ", ".join(f"'{key}'" for key in unknown))
    temperature = body.get("temperature")
    if temperature is not None and not (_is_number(temperature) and 0 <= temperature <= 2):
        raise RequestRefusedError("Invalid input: 'temperature' must be a number from 0 to 2")
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        if limit is not None and not (_is_integer(limit) and limit >= 1):
            raise RequestRefusedError(f"Invalid input: '{name}' must be an integer of 1 or more")
    if body.get("seed") is not None and not _is_integer(body["seed"]):
        raise RequestRefusedError("Invalid input: 'seed' must be an integer")
    stops = body.get("stop")
    if isinstance(stops, list) and len(stops) > MAX_STOPS:
        raise RequestRefusedError(f"Invalid input: 'stop' must have {MAX_STOPS} items or fewer")
    session_id = body.get("session_id")
    if session_id is not None and not (isinstance(session_id, str) and len(session_id) <= MAX_SESSION_ID):
        raise RequestRefusedError(
            f"Invalid input: 'session_id' must be a string of at most {MAX_SESSION_ID} characters"
        )
    _check_response_format(_object(body, "response_format"))


def _check_response_format(response_format: dict[str, Any]) -> None:
    if response_format.get("type") != "json_schema":
        return
    schema = _object(response_format, "json_schema")
    name = schema.get("name")
    if not isinstance(name, str) or not _SCHEMA_NAME.fullmatch(name):
        raise RequestRefusedError("Invalid input: 'response_format.json_schema.name' must match ^[a-zA-Z0-9_-]{1,64}$")
    if not isinstance(schema.get("schema"), dict):
        raise RequestRefusedError("Invalid input: 'response_format.json_schema.schema' is required")


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestRefusedError(f"Invalid input: '{name}' must be an object")
    return cast("dict[str, Any]", value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
