"""The request body and the limits that OpenRouter sets."""

from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from common.contracts.plan import provider_schema
from generator.openrouter import CompletionRequest, OpenRouterConfig
from generator.openrouter.config import request_body

KEY = SecretStr("sk-or-v1-secret")


def request(**fields: Any) -> CompletionRequest:
    """A request with defaults."""
    defaults = {"messages": [{"role": "user", "content": "Hi"}], "session_id": "plan-1", "user": "hash-1"}
    return CompletionRequest(**defaults | fields)


def body(config: OpenRouterConfig, asked: CompletionRequest, *, stream: bool = True) -> dict[str, Any]:
    """The body as OpenRouter reads it."""
    parsed: dict[str, Any] = orjson.loads(request_body(config, asked, stream=stream))
    return parsed


def test_plain_body() -> None:
    """Without fallbacks and schema, exactly these members; nothing that is deprecated without effect."""
    config = OpenRouterConfig(api_key=KEY, model="a/b", temperature=0.2, max_tokens=4000)
    assert body(config, request(), stream=False) == {
        "model": "a/b",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
        "temperature": 0.2,
        "max_tokens": 4000,
        "provider": {"require_parameters": True},
        "session_id": "plan-1",
        "user": "hash-1",
    }


def test_schema_is_strict() -> None:
    """The schema goes as response_format json_schema, strict."""
    sent = body(OpenRouterConfig(api_key=KEY, model="a/b"), request(schema=provider_schema(), schema_name="plan"))
    assert sent["stream"] is True
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "plan", "strict": True, "schema": provider_schema()},
    }


def test_fallbacks() -> None:
    """Fallbacks follow the model in `models`, each once."""
    sent = body(OpenRouterConfig(api_key=KEY, model="a/b", fallback_models=("c/d", "a/b", "e/f")), request())
    assert (sent["model"], sent["models"]) == ("a/b", ["a/b", "c/d", "e/f"])


@pytest.mark.parametrize(
    "fields",
    [{"fallback_models": ("b", "c", "d")}, {"temperature": 2.5}, {"max_tokens": 0}],
)
def test_refused_config(fields: dict[str, Any]) -> None:
    """What OpenRouter would refuse at each call is refused at the start."""
    with pytest.raises(ValueError, match="m"):
        OpenRouterConfig(api_key=KEY, model="a", **fields)


@pytest.mark.parametrize("fields", [{"schema_name": ""}, {"schema_name": "a b"}, {"session_id": "x" * 257}])
def test_refused_request(fields: dict[str, Any]) -> None:
    """Names of a form that would come back as a 400 are refused here."""
    with pytest.raises(ValueError, match="must"):
        request(**fields)


def test_key_is_not_shown() -> None:
    """The key is in no repr of the configuration."""
    assert "secret" not in repr(OpenRouterConfig(api_key=KEY, model="a"))
