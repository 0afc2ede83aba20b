"""The whole answer of a call without streaming, and the record of a generation."""

from typing import Any

import orjson
import pytest

from common.contracts.errors import ErrorCode
from generator.openrouter.call import UpstreamCall
from generator.openrouter.completion import read_completion, read_generation
from generator.openrouter.failures import UpstreamError

USAGE = {"prompt_tokens": 15, "completion_tokens": 9, "cost": 0.5}


def answer(**fields: Any) -> bytes:
    """A chat.completion with these fields in its choice; `top` holds those beside it."""
    top = fields.pop("top", {})
    message = {"role": "assistant", "content": '{"a":1}', "refusal": None, "reasoning": None}
    choice = {"index": 0, "finish_reason": "stop", "message": message} | fields
    return orjson.dumps({"id": "gen-1", "model": "m", "provider": "P", "choices": [choice], "usage": USAGE} | top)


@pytest.mark.parametrize("keep_alive", [b"", b"\n         \n" * 40])
def test_completion(keep_alive: bytes) -> None:
    """The text and the record, also behind whitespace that kept the connection alive."""
    call = UpstreamCall()
    assert read_completion(keep_alive + answer(), call) == '{"a":1}'
    expected = UpstreamCall("gen-1", "P", "m", 15, 9, 0.5, "stop", "provider", 7)
    assert call == expected


def test_cut_off_completion() -> None:
    """`length` is no failure here, with or without content: the caller decides."""
    call = UpstreamCall()
    assert read_completion(answer(finish_reason="length", message={"content": None}), call) == ""
    assert call.finish_reason == "length"


ERROR, REFUSED, LIMITED = ErrorCode.UPSTREAM_ERROR, ErrorCode.CONTENT_REFUSED, ErrorCode.UPSTREAM_RATE_LIMITED


@pytest.mark.parametrize(
    ("body", "code", "retryable", "after_content"),
    [
        (b"", ERROR, True, False),
        (b"<html></html>", ERROR, True, False),
        (b"[]", ERROR, True, False),
        (b'{"id":"gen-1","choices":[{"mess', ERROR, True, False),
        (answer(top={"choices": None}), ERROR, True, False),
        (answer(top={"choices": []}), ERROR, True, False),
        (answer(message=None), ERROR, True, False),
        (answer(message={"content": ""}), ERROR, True, False),
        (b'{"error":{"code":429,"message":"m"},"user_id":"u"}', LIMITED, True, False),
        (answer(error={"code": 502, "message": "m"}), ERROR, True, True),
        (answer(finish_reason="error"), ERROR, True, True),
        (answer(finish_reason="content_filter"), REFUSED, False, True),
        (answer(message={"content": None, "refusal": "No."}), REFUSED, False, False),
    ],
)
def test_failed_completion(body: bytes, code: ErrorCode, retryable: bool, after_content: bool) -> None:
    """Errors, refusals, missing choices and broken JSON are typed failures."""
    with pytest.raises(UpstreamError) as caught:
        read_completion(body, UpstreamCall())
    failure = caught.value
    assert (failure.code, failure.retryable, failure.after_content) == (code, retryable, after_content)


def test_failed_completion_has_a_record() -> None:
    """What a failed call cost is recorded all the same."""
    call = UpstreamCall()
    with pytest.raises(UpstreamError):
        read_completion(answer(error={"code": 502}), call)
    assert (call.generation_id, call.cost) == ("gen-1", 0.5)


def test_generation() -> None:
    """A generation's record gives the native token counts and the price."""
    data = {
        "id": "gen-1",
        "model": "m",
        "provider_name": "P",
        "cancelled": True,
        "finish_reason": None,
        "tokens_prompt": 10,
        "tokens_completion": 20,
        "native_tokens_prompt": 11,
        "native_tokens_completion": None,
        "total_cost": 0.25,
        "usage": 0.2,
    }
    expected = UpstreamCall("gen-1", "P", "m", 11, 20, 0.25, "cancelled", "provider", 0)
    assert read_generation(orjson.dumps({"data": data})) == expected


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":null}', b'{"data":{}}', b"<html>"])
def test_no_generation(body: bytes) -> None:
    """Anything else is no record."""
    assert read_generation(body) is None
