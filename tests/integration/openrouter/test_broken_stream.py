"""A stream that goes badly: typed failures within their deadlines, and no socket left open."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import orjson
import pytest

from common.contracts.errors import ErrorCode
from generator.openrouter import CompletionRequest, OpenRouterService, UpstreamCall, UpstreamError

if TYPE_CHECKING:
    from tests.integration.openrouter.conftest import Exchange, Script, Upstream

    Start = Callable[[Script], Awaitable[Upstream]]
    Make = Callable[..., OpenRouterService]

COMMENT = b": OPENROUTER PROCESSING\n\n"
ERROR, LIMITED, TIMEOUT = ErrorCode.UPSTREAM_ERROR, ErrorCode.UPSTREAM_RATE_LIMITED, ErrorCode.UPSTREAM_TIMEOUT


def event(content: str) -> bytes:
    """One data event."""
    return b"data: " + orjson.dumps({"id": "gen-1", "choices": [{"delta": {"content": content}}]}) + b"\n\n"


async def failed(
    service: OpenRouterService, request: CompletionRequest, seen: asyncio.Event | None = None, busy_seconds: float = 0
) -> tuple[str, UpstreamError, float]:
    """The text before the failure, the failure, and how long it took (seconds). Sets `seen` at the first text."""
    texts: list[str] = []

    async def consume() -> None:
        async with service.generate_plan_stream(request) as stream:
            async for chunk in stream:
                texts.append(chunk.text)
                if seen is not None:
                    seen.set()
                await asyncio.sleep(busy_seconds)

    began = time.monotonic()
    with pytest.raises(UpstreamError) as caught:
        await consume()
    return "".join(texts), caught.value, time.monotonic() - began


async def writes_then(exchange: "Exchange", then: str, seen: asyncio.Event | None = None) -> None:
    """Some content; then, once it was seen, the connection ends in some way."""
    await exchange.head()
    await exchange.chunk(event("{"))
    if seen is not None:
        await seen.wait()  # or a reset would overtake the content
    match then:
        case "reset":
            await exchange.raw(b"ffff\r\ndata: {")
            exchange.reset()
        case "close":
            await exchange.raw(b"ffff\r\ndata: {")
            exchange.writer.close()
        case "clean":
            await exchange.end()
        case "garbage":
            await exchange.raw(b"no chunk size\r\n")
        case "silence":
            await exchange.gone()
        case _:
            raise AssertionError(then)


async def writes_idly(exchange: "Exchange", idle: bytes) -> None:
    """Some content, then the same bytes again and again."""
    await exchange.head()
    await exchange.chunk(event("{"))
    while not exchange.writer.is_closing():
        await exchange.chunk(idle)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("then", ["reset", "close", "clean"])
async def test_cut_off(upstream: "Start", service: "Make", request_for_plan: CompletionRequest, then: str) -> None:
    """A stream that breaks off after content says so, and may be tried again."""
    seen = asyncio.Event()
    server = await upstream(lambda exchange: writes_then(exchange, then, seen))
    text, failure, _ = await failed(service(server.url), request_for_plan, seen)
    assert text == "{"
    assert (failure.code, failure.retryable, failure.after_content) == (ERROR, True, True)


@pytest.mark.parametrize("idle", [b"", COMMENT, event("")])
async def test_silence(upstream: "Start", service: "Make", request_for_plan: CompletionRequest, idle: bytes) -> None:
    """Without a meaningful delta the stream times out; comments and empty deltas do not help it; the socket closes."""
    server = await upstream(lambda exchange: writes_idly(exchange, idle) if idle else writes_then(exchange, "silence"))
    text, failure, seconds = await failed(service(server.url, silence_seconds=0.2), request_for_plan)
    assert text == "{"
    assert (failure.code, failure.retryable, failure.after_content) == (TIMEOUT, True, True)
    assert 0.15 < seconds < 3
    await asyncio.wait_for(server.closed.wait(), 1)


@pytest.mark.parametrize("busy_seconds", [0, 0.1])
async def test_garbage(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest, busy_seconds: float
) -> None:
    """Broken chunk framing is a failure like another, whether it arrives in a read or between two."""
    seen = asyncio.Event()
    server = await upstream(lambda exchange: writes_then(exchange, "garbage", seen))
    client = service(server.url, silence_seconds=0.2)
    text, failure, seconds = await failed(client, request_for_plan, seen, busy_seconds)
    assert text == "{"
    assert (failure.retryable, failure.after_content) == (True, True)
    assert seconds < 3


@pytest.mark.parametrize("kind", ["no headers", "no data", "comments"])
async def test_no_first_data(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest, kind: str
) -> None:
    """Without a first data event in time, with or without headers and comments, the call times out and closes."""

    async def script(exchange: "Exchange") -> None:
        if kind != "no headers":
            await exchange.head()
        while kind == "comments" and not exchange.writer.is_closing():
            await exchange.chunk(COMMENT)
            await asyncio.sleep(0.02)
        await exchange.gone()

    server = await upstream(script)
    text, failure, seconds = await failed(service(server.url, first_data_seconds=0.2), request_for_plan)
    assert text == ""
    assert (failure.code, failure.retryable, failure.after_content) == (TIMEOUT, True, False)
    assert 0.15 < seconds < 3
    await asyncio.wait_for(server.closed.wait(), 1)


@pytest.mark.parametrize(
    ("status", "content_type", "body", "code", "retryable"),
    [
        (524, "text/html; charset=UTF-8", b"<html>A timeout occurred</html>", TIMEOUT, True),
        (502, "text/html", b"<html>Bad gateway</html>", ERROR, True),
        (200, "text/html", b"<html>Just a moment</html>", ERROR, True),
        (200, "application/json", b'{"error":{"code":503,"message":"none left"}}', ERROR, True),
        (200, "application/json", b'\n     \n{"error":{"code":400,"message":"bad"}}', ERROR, False),
        (401, "application/json", b'{"error":{"code":401,"message":"No auth"}}', ERROR, False),
        (404, "application/json", b'{"error":{"code":404,"message":"No endpoints found for X."}}', ERROR, False),
        (307, "text/html", b"", ERROR, False),
        (204, "text/plain", b"", ERROR, True),
    ],
)
async def test_refused(
    upstream: "Start",
    service: "Make",
    request_for_plan: CompletionRequest,
    status: int,
    content_type: str,
    body: bytes,
    code: ErrorCode,
    retryable: bool,
) -> None:
    """An answer that is no stream is judged by its error or its status; a redirect is not followed with our key."""

    async def script(exchange: "Exchange") -> None:
        if status == 204:
            await exchange.raw(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            await exchange.whole(status, body, content_type, Location="/elsewhere")

    server = await upstream(script)
    _, failure, _ = await failed(service(server.url), request_for_plan)
    assert (failure.code, failure.retryable, failure.after_content) == (code, retryable, False)
    assert len(server.ports) == 1


async def test_retry_after(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """A 429's Retry-After reaches the caller."""

    async def script(exchange: "Exchange") -> None:
        await exchange.whole(429, b'{"error":{"code":429,"message":"slow down"}}', Retry_After="7")

    server = await upstream(script)
    _, failure, _ = await failed(service(server.url), request_for_plan)
    assert (failure.code, failure.retryable, failure.retry_after, failure.status) == (LIMITED, True, 7.0, 429)


async def test_error_body_without_end(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """An error answer whose body never ends is judged by its status, and closed."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head(503, "application/json")
        await exchange.gone()

    server = await upstream(script)
    _, failure, seconds = await failed(service(server.url, first_data_seconds=0.2), request_for_plan)
    assert (failure.code, failure.retryable, failure.status) == (ERROR, True, 503)
    assert seconds < 3
    await asyncio.wait_for(server.closed.wait(), 1)


async def test_key_is_not_echoed(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """A key that upstream repeats in its error does not reach the detail."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        await exchange.chunk(b'data: {"error":{"code":401,"message":"bad key a-very-secret-key!"}}\n\n')
        await exchange.end()

    server = await upstream(script)
    _, failure, _ = await failed(service(server.url), request_for_plan)
    assert "very-secret" not in f"{failure} {failure!r}"


async def test_output_bound(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """Rule 11: a model that never stops is cut off at the bound, and its connection closed."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head()
        while not exchange.writer.is_closing():
            await exchange.chunk(event("x" * 100))
            await asyncio.sleep(0)

    server = await upstream(script)
    text, failure, _ = await failed(service(server.url, max_output_chars=1050), request_for_plan)
    assert text == "x" * 1050
    assert (failure.code, failure.retryable, failure.after_content) == (ERROR, False, True)
    await asyncio.wait_for(server.closed.wait(), 1)


async def test_leaving_early_closes(upstream: "Start", service: "Make", request_for_plan: CompletionRequest) -> None:
    """Leaving the context before the end closes the connection at once: that is what stops the billing."""
    server = await upstream(lambda exchange: writes_then(exchange, "silence"))
    async with service(server.url).generate_plan_stream(request_for_plan) as stream:
        assert (await anext(stream)).text == "{"
    await asyncio.wait_for(server.closed.wait(), 1)
    assert (stream.call.source, stream.call.generation_id) == ("estimated", "gen-1")


@pytest.mark.parametrize("when", ["headers", "reading", "consuming"])
async def test_cancelling_closes(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest, when: str
) -> None:
    """Cancelling closes the connection within a second: before the headers, in a read, in the consumer; it may cost."""
    there = asyncio.Event()
    call = UpstreamCall()

    async def script(exchange: "Exchange") -> None:
        if when == "headers":
            there.set()
            await exchange.gone()
        else:
            await writes_then(exchange, "silence")

    async def consume() -> None:
        async with service(server.url).generate_plan_stream(request_for_plan, call=call) as stream:
            async for _ in stream:
                there.set()
                if when == "consuming":
                    await asyncio.sleep(30)

    server = await upstream(script)
    task = asyncio.create_task(consume())
    await asyncio.wait_for(there.wait(), 2)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.closed.wait(), 1)
    assert (call.source, call.prompt_tokens > 0) == ("estimated", True), "what was sent may have to be paid"


@pytest.fixture
def full_listener() -> Iterator[socket.socket]:
    """A listener whose queue is full, so that a further connection stays unanswered."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            filler = opened.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener


async def test_connect_timeout(
    full_listener: socket.socket, service: "Make", request_for_plan: CompletionRequest
) -> None:
    """A connection that is not established in time is a timeout of its own, before that of the first data."""
    client = service(f"http://127.0.0.1:{full_listener.getsockname()[1]}", connect_seconds=0.2)
    _, failure, seconds = await failed(client, request_for_plan)
    assert (failure.code, failure.retryable, failure.after_content) == (TIMEOUT, True, False)
    assert seconds < 3


async def test_cancelled_while_connecting(
    full_listener: socket.socket, service: "Make", request_for_plan: CompletionRequest
) -> None:
    """Cancelled before the connection stands, the task ends at once and the attempt is given up."""
    client = service(f"http://127.0.0.1:{full_listener.getsockname()[1]}")
    task = asyncio.create_task(failed(client, request_for_plan))
    await asyncio.sleep(0.05)
    task.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 0.5


async def test_closed_without_an_answer(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest
) -> None:
    """A connection closed before any answer may be tried again."""

    async def script(exchange: "Exchange") -> None:
        exchange.writer.close()

    server = await upstream(script)
    call = UpstreamCall()
    with pytest.raises(UpstreamError) as caught:
        async with service(server.url).generate_plan_stream(request_for_plan, call=call):
            pass
    failure = caught.value
    assert (failure.code, failure.retryable, failure.after_content) == (ERROR, True, False)
    assert call.prompt_tokens > 0, "it was sent, and may have to be paid"


async def test_connection_refused(service: "Make", request_for_plan: CompletionRequest) -> None:
    """Nobody listening is a passing failure."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    _, failure, _ = await failed(service(f"http://127.0.0.1:{port}"), request_for_plan)
    assert (failure.code, failure.retryable, failure.after_content) == (ERROR, True, False)


async def test_a_callers_record_outlives_a_failure(
    upstream: "Start", service: "Make", request_for_plan: CompletionRequest
) -> None:
    """A record given by the caller holds the generation id although the call failed."""

    async def script(exchange: "Exchange") -> None:
        await exchange.head(X_Generation_Id="gen-7")
        await exchange.gone()

    server = await upstream(script)
    client, call = service(server.url, first_data_seconds=0.2), UpstreamCall()
    with pytest.raises(UpstreamError):
        async with client.generate_plan_stream(request_for_plan, call=call) as stream:
            await anext(stream)
    assert call.generation_id == "gen-7"
