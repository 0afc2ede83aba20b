"""A stream that goes well: what is asked, what comes, and the connection afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from generator.openrouter import CompletionRequest, OpenRouterService

if TYPE_CHECKING:
    from tests.integration.openrouter.conftest import Exchange, Script, Upstream

    Start = Callable[[Script], Awaitable[Upstream]]
    Make = Callable[..., OpenRouterService]

COMMENT = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"


def event(content: str = "", finish: str | None = None, **fields: Any) -> bytes:
    """One data event."""
    choice = {"index": 0, "delta": {"content": content, "role": "assistant"}, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": "gen-1", "model": "a/b", "choices": [choice], **fields}) + b"\n\n"


def finish(**fields: Any) -> bytes:
    """The event with the finish reason."""
    return event(finish="stop", **fields)


async def all_of(service: OpenRouterService, request: CompletionRequest) -> list[str]:
    """The texts of a whole stream."""
    async with service.generate_plan_stream(request) as stream:
        return [chunk.text async for chunk in stream]


async def test_request(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """The request carries the key, the title and the body, and refuses compression."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        await exchange.chunk(event("{}") + finish() + DONE)
        await exchange.end()

    server = await upstream(script)
    assert await all_of(service(server.url), request_for_plan) == ["{}"]
    sent = server.exchanges[0]
    assert sent.line == "POST /api/v1/chat/completions HTTP/1.1"
    assert sent.headers["authorization"] == "Bearer a-very-secret-key"
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["x-openrouter-title"] == "Planstream"
    assert (sent.json["stream"], sent.json["model"], sent.json["session_id"]) == (True, "a/b", "plan-1")


async def test_record(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """The record is filled as the stream goes, from the header first."""
    go = asyncio.Event()

    async def script(exchange: "Exchange") -> None:
        await exchange.head(X_Generation_Id="gen-header")
        await exchange.chunk(COMMENT + event("{"))
        await go.wait()
        usage = {"prompt_tokens": 15, "completion_tokens": 9, "cost": 0.5}
        await exchange.chunk(event("}") + finish(provider="P") + finish(usage=usage) + DONE)
        await exchange.end()

    server = await upstream(script)
    async with service(server.url).generate_plan_stream(request_for_plan) as stream:
        assert stream.call.generation_id == "gen-header"
        assert (await anext(stream)).text == "{"
        assert (stream.call.chars, stream.call.finish_reason, stream.call.model) == (1, None, "a/b")
        go.set()
        assert [chunk.text async for chunk in stream] == ["}"]
        call = stream.call
    assert (call.provider, call.model, call.finish_reason, call.chars) == ("P", "a/b", "stop", 2)
    assert (call.source, call.prompt_tokens, call.completion_tokens, call.cost) == ("provider", 15, 9, 0.5)


async def test_every_byte_a_chunk(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """Complaint 17: OpenRouter's comments change nothing, nor HTTP chunks that split them, events and UTF-8."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        body = COMMENT + event('{"é') + COMMENT + event('漢🎯"}') + finish() + DONE
        for at in range(len(body)):
            await exchange.chunk(body[at : at + 1])
            await asyncio.sleep(0)
        await exchange.end()

    server = await upstream(script)
    assert "".join(await all_of(service(server.url), request_for_plan)) == '{"é漢🎯"}'


async def test_one_read_one_item(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """Many tokens that arrive together come as one item."""

    async def script(exchange: "Exchange") -> None:
        body = b"".join(event(f"{number},") for number in range(50)) + finish() + DONE
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await exchange.raw(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    server = await upstream(script)
    assert await all_of(service(server.url), request_for_plan) == ["".join(f"{number}," for number in range(50))]


async def test_long_reasoning_line(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """A line of encrypted reasoning far longer than the read buffer is survived."""

    async def script(exchange: "Exchange") -> None:
        choice = {"delta": {"reasoning_details": [{"type": "reasoning.encrypted", "data": "A" * 1_000_000}]}}
        await exchange.head()
        await exchange.chunk(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n" + event("{}") + finish() + DONE)
        await exchange.end()

    server = await upstream(script)
    client = service(server.url)
    assert await all_of(client, request_for_plan) == ["{}"]


@pytest.mark.parametrize("late", [False, True])
async def test_connection_is_reused(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest, late: bool
) -> None:
    """After a clean end the next call comes over the same connection, also when the body ends just after `[DONE]`."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        await exchange.chunk(event("{}") + finish() + DONE)
        if late:
            await asyncio.sleep(0.02)
        await exchange.end()

    server = await upstream(script)
    client = service(server.url)
    for _ in range(3):
        assert await all_of(client, request_for_plan) == ["{}"]
    assert len(server.ports) == 3
    assert len(set(server.ports)) == 1


async def test_refused_call_keeps_its_connection(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest
) -> None:
    """An error answer that was read to its end does not cost the connection."""

    async def script(exchange: "Exchange") -> None:
        await exchange.whole(429, b'{"error":{"code":429}}')

    server = await upstream(script)
    client = service(server.url)
    for _ in range(2):
        with pytest.raises(Exception, match="rate_limited"):
            await all_of(client, request_for_plan)
    assert len(set(server.ports)) == 1


async def test_end_without_done(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """When neither usage nor `[DONE]` follow the finish reason, the stream ends without them, and closes."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        await exchange.chunk(event("{}") + finish())
        while not exchange.writer.is_closing():
            await exchange.chunk(COMMENT)
            await asyncio.sleep(0.02)

    server = await upstream(script)
    async with service(server.url, after_finish_seconds=0.1).generate_plan_stream(request_for_plan) as stream:
        assert [chunk.text async for chunk in stream] == ["{}"]
    assert (stream.call.source, stream.call.completion_tokens) == ("estimated", 1)
    await asyncio.wait_for(server.closed.wait(), 1)


@pytest.mark.parametrize("broken", ["reset", "close", "clean"])
async def test_broken_after_the_finish_reason(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest, broken: str
) -> None:
    """A connection that breaks after the finish reason has cost accounting, not content."""
    seen = asyncio.Event()

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        await exchange.chunk(event("{}") + finish())
        await seen.wait()
        match broken:
            case "reset":
                exchange.reset()
            case "close":
                exchange.writer.close()
            case _:
                await exchange.end()

    server = await upstream(script)
    async with service(server.url).generate_plan_stream(request_for_plan) as stream:
        texts = [(await anext(stream)).text]
        seen.set()
        texts += [chunk.text async for chunk in stream]
    assert texts == ["{}"]
    assert stream.call.finish_reason == "stop"


async def test_before_read(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """The hook runs before each network read; a socket paused in it brings all that came meanwhile in one item."""
    total, reads, sent, later = 200, 0, asyncio.Event(), None

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        for number in range(total):
            await exchange.chunk(event(f"{number:04d}" + "x" * 400))
            await asyncio.sleep(0)
        sent.set()
        await exchange.chunk(finish() + DONE)
        await exchange.end()

    async def go_on() -> None:
        await sent.wait()
        stream.resume()

    def pace() -> None:
        nonlocal reads, later
        reads += 1
        if reads == 2:
            stream.pause()
            later = asyncio.create_task(go_on())

    server = await upstream(script)
    client = service(server.url)
    async with client.generate_plan_stream(request_for_plan, before_read=pace) as stream:
        texts = [chunk.text async for chunk in stream]
    assert len("".join(texts)) == total * 404
    assert reads >= len(texts)
    assert len(texts) < total / 4


async def test_leaving_while_paused(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """A paused stream that ended gives back a connection that reads again."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        await exchange.chunk(event("{}") + finish() + DONE)
        await asyncio.sleep(0.02)
        await exchange.end()

    server = await upstream(script)
    client = service(server.url)
    for _ in range(2):
        async with client.generate_plan_stream(request_for_plan) as stream:
            assert (await anext(stream)).text == "{}"
            stream.pause()
    assert len(set(server.ports)) == 1


async def test_slow_consumer(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """A consumer that takes longer than the deadlines itself does not lose a healthy stream."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        for _ in range(3):
            await exchange.chunk(event("a"))
            await asyncio.sleep(0.1)
        await exchange.chunk(finish() + DONE)
        await exchange.end()

    server = await upstream(script)
    texts = []
    client = service(server.url, first_data_seconds=0.4, silence_seconds=0.4)
    async with client.generate_plan_stream(request_for_plan) as stream:
        async for chunk in stream:
            texts.append(chunk.text)
            await asyncio.sleep(0.45)
    assert "".join(texts) == "aaa"
