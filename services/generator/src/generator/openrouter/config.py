"""How to call OpenRouter, and what one call asks for. Pure."""

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import SecretStr

MAX_MODELS: Final = 3
MAX_SESSION_ID: Final = 256
_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class OpenRouterConfig:
    """Address, key, model and deadlines (seconds).

    Attributes:
        connect_seconds: name resolution, TCP and TLS together.
        first_data_seconds: from the request to the first `data:` event; headers and keep-alive comments do not count.
        silence_seconds: between two deltas that carry something (content, reasoning, a refusal, the end).
        after_finish_seconds: how long usage and `[DONE]` may follow the finish reason before we go without them.
        completion_seconds: a whole answer without streaming.
        max_output_chars: the content of one call.
        usage_lookup_seconds: how long the pauses between look-ups of a broken call's cost may be together.

    Raises:
        ValueError: more than three models in total, which OpenRouter refuses, or a setting out of its range.
    """

    api_key: SecretStr
    model: str
    base_url: str = "https://openrouter.ai/api/v1"
    fallback_models: tuple[str, ...] = ()
    temperature: float = 0.7
    max_tokens: int = 16_000
    connect_seconds: float = 10
    first_data_seconds: float = 60
    silence_seconds: float = 60
    after_finish_seconds: float = 5
    completion_seconds: float = 300
    max_output_chars: int = 512 * 1024
    usage_lookup_seconds: float = 16

    def __post_init__(self) -> None:
        """Refuse at start-up what OpenRouter would refuse at every call."""
        if len(self.models) > MAX_MODELS:
            raise ValueError(f"at most {MAX_MODELS} models in total, the first one included")
        if not 0 <= self.temperature <= 2:
            raise ValueError("temperature must be from 0 to 2")
        if self.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1")

    @property
    def models(self) -> tuple[str, ...]:
        """The model and its fallbacks in order, each once."""
        return tuple(dict.fromkeys((self.model, *self.fallback_models)))

    def url(self, path: str) -> str:
        """An endpoint's address."""
        return self.base_url.rstrip("/") + path


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One call: the messages, and the JSON schema of the answer.

    `session_id` makes routing sticky, so that a continuation can reuse the provider's prompt cache; `user` is already
    a hash. Neither is shown to the model.

    Raises:
        ValueError: a schema name or a session id of a form that OpenRouter refuses.
    """

    messages: list[dict[str, str]]
    session_id: str
    user: str
    schema: dict[str, Any] | None = None
    schema_name: str = "plan"

    def __post_init__(self) -> None:
        """Check the forms that would otherwise come back as a 400."""
        if _SCHEMA_NAME.fullmatch(self.schema_name) is None:
            raise ValueError("schema_name must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
        if len(self.session_id) > MAX_SESSION_ID:
            raise ValueError(f"session_id must not be longer than {MAX_SESSION_ID} characters")

    @property
    def prompt_chars(self) -> int:
        """The length of all messages, for an estimate of their tokens."""
        return sum(len(message.get("content", "")) for message in self.messages)


def request_body(config: OpenRouterConfig, request: CompletionRequest, *, stream: bool) -> bytes:
    """The JSON body of `POST /chat/completions`.

    `max_tokens` although deprecated: with `require_parameters` its successor leaves some models without an endpoint.
    Left out altogether, the model's maximum is checked against the credits (402).
    """
    body: dict[str, Any] = {"model": config.model}
    if len(config.models) > 1:
        body["models"] = config.models
    body |= {
        "messages": request.messages,
        "stream": stream,
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        # Without this an endpoint that does not know response_format drops it silently.
        "provider": {"require_parameters": True},
        "session_id": request.session_id,
        "user": request.user,
    }
    if request.schema is not None:
        schema = {"name": request.schema_name, "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return orjson.dumps(body)
