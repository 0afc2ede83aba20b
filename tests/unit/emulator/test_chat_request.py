"""Requests are read and refused as OpenRouter does."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from openrouter_emulator.chat_request import DEFAULT_MODEL, ChatRequest, RequestRefusedError, read_chat_request

MESSAGES = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"messages": []}, 'Input required: specify "prompt" or "messages"'),
        ({"messages": "hello"}, 'Input required: specify "prompt" or "messages"'),
        ({"messages": [{"content": "x"}]}, "Invalid input: messages[0].role is required"),
        ({"models": ["a/a", "b/b", "c/c", "d/d"]}, "'models' array must have 3 items or fewer."),
        ({"models": "a/a"}, "Invalid input: 'models' must be an array of strings"),
        ({"model": "nonsense"}, "nonsense is not a valid model ID"),
        ({"models": ["a/a", "nonsense"]}, "nonsense is not a valid model ID"),
        ({"provider": {"oder": ["openai"]}}, "Unrecognized key(s) in object: 'oder'"),
        ({"provider": ["openai"]}, "Invalid input: 'provider' must be an object"),
        ({"temperature": 2.5}, "Invalid input: 'temperature' must be a number from 0 to 2"),
        ({"temperature": True}, "Invalid input: 'temperature' must be a number from 0 to 2"),
        ({"max_tokens": 0}, "Invalid input: 'max_tokens' must be an integer of 1 or more"),
        ({"max_completion_tokens": "4"}, "Invalid input: 'max_completion_tokens' must be an integer of 1 or more"),
        ({"seed": 1.5}, "Invalid input: 'seed' must be an integer"),
        ({"stop": list("abcde")}, "Invalid input: 'stop' must have 4 items or fewer"),
        ({"session_id": "x" * 257}, "Invalid input: 'session_id' must be a string of at most 256 characters"),
        ({"response_format": "json"}, "Invalid input: 'response_format' must be an object"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "my plan", "schema": {}}}},
            "Invalid input: 'response_format.json_schema.name' must match ^[a-zA-Z0-9_-]{1,64}$",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "plan"}}},
            "Invalid input: 'response_format.json_schema.schema' is required",
        ),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(members: dict[str, Any], message: str) -> None:
    """Each rule has its 400 and its message."""
    with pytest.raises(RequestRefusedError) as refusal:
        read_chat_request(orjson.dumps({"model": "openai/gpt-4.1-mini", "messages": MESSAGES} | members), {})
    assert (refusal.value.status, refusal.value.message) == (400, message)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b'{"messages": \xff}'])
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    """Bad JSON is a 400, never an exception of the server's own."""
    with pytest.raises(RequestRefusedError):
        read_chat_request(raw, {})


def test_a_full_request_is_read() -> None:
    """Everything the fact sheet's example holds is accepted."""
    body = {
        "model": "openai/gpt-4.1-mini",
        "models": ["openai/gpt-4.1-mini", "google/gemini-2.5-flash"],
        "messages": [
            {"role": "system", "content": "Plan."},
            {"role": "user", "content": [{"type": "text", "text": "Run"}, {"type": "text", "text": "far"}]},
            {"role": "assistant", "content": "{"},
        ],
        "stream": True,
        "temperature": 0.2,
        "max_tokens": 4000,
        "seed": 7,
        "stop": ["<END>"],
        "user": "hash-1",
        "session_id": "plan-42",
        "response_format": SCHEMA,
        "provider": {"require_parameters": True, "order": ["openai"], "allow_fallbacks": True},
        "reasoning": {"effort": "low", "exclude": True},
    }
    request = read_chat_request(orjson.dumps(body), {"x-session-id": "other"})
    assert request.models == ("openai/gpt-4.1-mini", "google/gemini-2.5-flash")
    assert request.prompt == "Plan.\n\nRun\nfar\n\n{"
    assert request.last_user_message == "Run\nfar"
    assert (request.stream, request.max_tokens, request.session_id, request.seed) == (True, 4000, "plan-42", 7)
    assert request.wants_schema
    assert request.hides_reasoning


def test_defaults(make_request: Callable[..., ChatRequest]) -> None:
    """Without stream, model or session in the body: no stream, the default model, the header's session."""
    request = make_request(headers={"x-session-id": "from-header"}, model=None)
    assert (request.stream, request.models, request.session_id) == (False, (DEFAULT_MODEL,), "from-header")
