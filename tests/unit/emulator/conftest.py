"""What the emulator's unit tests share."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from openrouter_emulator.chat_request import ChatRequest, read_chat_request

MakeRequest = Callable[..., ChatRequest]


@pytest.fixture(scope="session")
def make_request() -> MakeRequest:
    """Builds a read request with the given prompt and further body members."""

    def make(prompt: str = "hello", headers: dict[str, str] | None = None, **members: Any) -> ChatRequest:
        body = {"model": "openai/gpt-4.1-mini", "messages": [{"role": "user", "content": prompt}], **members}
        return read_chat_request(orjson.dumps(body), headers or {})

    return make
