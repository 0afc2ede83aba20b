"""Calls with one answer: a plan without streaming, and the usage of a call that never reported it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from common.contracts.errors import ErrorCode
from generator.openrouter import CompletionRequest, OpenRouterService, UpstreamCall, UpstreamError
from generator.openrouter.call import CHARS_PER_TOKEN

if TYPE_CHECKING:
    from tests.integration.openrouter.conftest import Exchange, Script, Upstream

    Start = Callable[[Script], Awaitable[Upstream]]
    Make = Callable[..., OpenRouterService]

KEEP_ALIVE = b"\n         \n"
SOON = (0.01, 0.01, 0.01)


def answer(content: str = "{}") -> bytes:
    """A chat.completion."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 15, "completion_tokens": 9, "cost": 0.5}
    return orjson.dumps({"id": "gen-1", "model": "a/b", "choices": [choice], "usage": usage})


async def failure_of(call: Awaitable[Any]) -> UpstreamError:
    """How a call failed."""
    with pytest.raises(UpstreamError) as caught:
        await call
    return caught.value


async def test_plan_behind_keep_alives(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """Whitespace that keeps the connection alive is skipped; the connection is used again."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head(content_type="application/json", X_Generation_Id="gen-header")
        for _ in range(3):
            await exchange.chunk(KEEP_ALIVE)
            await asyncio.sleep(0.01)
        body = answer("{é}")
        await exchange.chunk(body[:40])
        await exchange.chunk(body[40:])
        await exchange.end()

    server = await upstream(script)
    client = service(server.url)
    for _ in range(2):
        completion = await client.generate_plan(request_for_plan)
        assert completion.text == "{é}"
    assert (completion.call.generation_id, completion.call.source, completion.call.cost) == ("gen-1", "provider", 0.5)
    assert server.exchanges[0].json["stream"] is False
    assert len(set(server.ports)) == 1


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (200, b'{"choices":null}', ErrorCode.UPSTREAM_ERROR, True),
        (200, KEEP_ALIVE + b'{"error":{"code":429,"message":"m"}}', ErrorCode.UPSTREAM_RATE_LIMITED, True),
        (200, b"<html></html>", ErrorCode.UPSTREAM_ERROR, True),
        (524, b"<html></html>", ErrorCode.UPSTREAM_TIMEOUT, True),
        (402, b'{"error":{"code":402,"message":"no credits"}}', ErrorCode.UPSTREAM_ERROR, False),
        (
            402,
            b'{"error":{"code":402,"metadata":{"limit_source":"openrouter_in_flight_budget"}}}',
            ErrorCode.UPSTREAM_RATE_LIMITED,
            True,
        ),
    ],
)
async def test_failed_plan(
    upstream: "Start",
    service: "Make",
    request_for_plan: CompletionRequest,
    status: int,
    body: bytes,
    code: ErrorCode,
    retryable: bool,
) -> None:
    """Errors inside and outside a 200 are typed failures."""
    server = await upstream(lambda exchange: exchange.whole(status, body, "application/json"))
    failure = await failure_of(service(server.url).generate_plan(request_for_plan))
    assert (failure.code, failure.retryable) == (code, retryable)


async def test_plan_deadline(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """Keep-alives do not extend the deadline of the whole answer; the connection is closed."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head(content_type="application/json")
        while not exchange.writer.is_closing():
            await exchange.chunk(KEEP_ALIVE)
            await asyncio.sleep(0.02)

    server = await upstream(script)
    call = UpstreamCall()
    slow = service(server.url, completion_seconds=0.3)
    failure = await failure_of(slow.generate_plan(request_for_plan, call=call))
    assert (failure.code, failure.retryable) == (ErrorCode.UPSTREAM_TIMEOUT, True)
    # It was made, and will be on the bill: what was asked is known, what it wrote is not.
    assert (call.source, call.prompt_tokens) == ("estimated", -(-request_for_plan.prompt_chars // CHARS_PER_TOKEN))
    await asyncio.wait_for(server.closed.wait(), 1)


async def test_plan_cut_off(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """A body that breaks off may be tried again."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head(content_type="application/json")
        await exchange.chunk(answer()[:40])
        exchange.writer.close()

    server = await upstream(script)
    failure = await failure_of(service(server.url).generate_plan(request_for_plan))
    assert (failure.code, failure.retryable) == (ErrorCode.UPSTREAM_ERROR, True)


async def test_plan_bound(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """An answer without end is not collected without end."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head(content_type="application/json")
        while not exchange.writer.is_closing():
            await exchange.chunk(b"x" * 1000)
            await asyncio.sleep(0)

    server = await upstream(script)
    client = service(server.url, max_output_chars=1000)
    failure = await failure_of(client.generate_plan(request_for_plan))
    assert failure.code == ErrorCode.UPSTREAM_ERROR
    await asyncio.wait_for(server.closed.wait(), 1)


async def test_cancelling_a_plan_closes(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest
) -> None:
    """Cancelling the call closes its connection within a second."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head(content_type="application/json")
        await exchange.gone()

    server = await upstream(script)
    task = asyncio.create_task(service(server.url).generate_plan(request_for_plan))
    await asyncio.wait_for(server.asked.wait(), 2)
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.closed.wait(), 1)


async def test_usage_appears_late(upstream: "Start", service: "Make") -> None:
    """The record of a generation is a 404 at first; patience finds it."""

    async def script(exchange: "Exchange") -> None:
        if len(server.ports) < 3:
            await exchange.whole(404, b'{"error":{"code":404,"message":"not found"}}')
        else:
            data = {"id": "gen 1", "native_tokens_prompt": 11, "native_tokens_completion": 7, "total_cost": 0.25}
            await exchange.whole(200, orjson.dumps({"data": data}))

    server = await upstream(script)
    call = await service(server.url).fetch_usage("gen 1", SOON)
    assert call is not None
    assert (call.prompt_tokens, call.completion_tokens, call.cost, call.source) == (11, 7, 0.25, "provider")
    assert server.exchanges[0].line in {
        "GET /api/v1/generation?id=gen+1 HTTP/1.1",
        "GET /api/v1/generation?id=gen%201 HTTP/1.1",
    }


@pytest.mark.parametrize(("status", "tries"), [(404, 4), (500, 4), (429, 4), (401, 1), (403, 1)])
async def test_usage_not_to_be_had(upstream: "Start", service: "Make", status: int, tries: int) -> None:
    """The look-up gives up after its tries, and at once where another is of no use."""
    server = await upstream(lambda exchange: exchange.whole(status, b"{}"))
    assert await service(server.url).fetch_usage("gen-1", SOON) is None
    assert len(server.ports) == tries


async def test_usage_from_a_broken_server(upstream: "Start", service: "Make") -> None:
    """A connection that breaks is a try like another."""

    async def script(exchange: "Exchange") -> None:
        exchange.writer.close()

    server = await upstream(script)
    assert await service(server.url).fetch_usage("gen-1", (0.01,)) is None
    assert len(server.ports) >= 2
