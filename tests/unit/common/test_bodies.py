"""Reading a request's body."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from common.bodies import read_body
from common.contracts.errors import ErrorCode
from common.problems import ApiError


async def test_a_body_that_does_not_come_is_refused() -> None:
    """A client that announces a body and sends a part of it holds the handler for a while, and not for ever."""
    parts: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()
        raise AssertionError

    request = Request({"type": "http", "method": "POST", "headers": [(b"content-length", b"100")]}, receive)
    with pytest.raises(ApiError) as refused:
        async with asyncio.timeout(5):
            await read_body(request, seconds=0.02)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert "not complete after 0.02 seconds" in refused.value.detail
