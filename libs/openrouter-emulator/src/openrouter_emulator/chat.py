"""`POST /api/v1/chat/completions` as pure ASGI: read, choose the behaviour, serve, notice the client leaving."""

import asyncio
import secrets
import string
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from openrouter_emulator import wire
from openrouter_emulator.answer import random_of, write_answer
from openrouter_emulator.behaviours import Behaviour
from openrouter_emulator.chat_request import ChatRequest, RequestRefusedError, read_chat_request
from openrouter_emulator.http_errors import HttpAnswer, error_answer, refusal_answer
from openrouter_emulator.ledger import Generation, RecordedRequest
from openrouter_emulator.script import Answer, completion_tokens, stream_script, whole_script
from openrouter_emulator.state import EmulatorState
from openrouter_emulator.streaming import Pace, Player, until_disconnect

MAX_BODY = 8 * 1024 * 1024
MISSING_AUTHENTICATION = "Missing Authentication header"

_ALPHABET = string.ascii_letters + string.digits


def is_authenticated(headers: Headers) -> bool:
    """Whether there is a bearer token; any value will do."""
    scheme, _space, token = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One HTTP request and the way to answer it."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Headers
    raw: bytes


class ChatCompletions:
    """The endpoint; an ASGI application."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        raw = await _read_body(receive)
        if raw is None:
            return
        self._state.ledger.counters.requests += 1
        exchange = _Exchange(scope, receive, send, Headers(scope=scope), raw)
        try:
            request = _checked_request(raw, exchange.headers)
        except RequestRefusedError as refusal:
            await self._reject(exchange, None, refusal_answer(refusal.status, refusal.message), 0.0)
            return
        behaviour = self._state.rules.take(request)
        if behaviour.http_error is not None:
            await self._reject(exchange, request, error_answer(behaviour.http_error), behaviour.headers_delay_seconds)
        else:
            await self._answer(exchange, request, behaviour)

    async def _answer(self, exchange: _Exchange, request: ChatRequest, behaviour: Behaviour) -> None:
        random = random_of(request, self._state.settings.seed)
        answer = self._prepare(request, behaviour, random)
        generation = self._open(request, behaviour, answer)
        self._record(exchange, request, generation.id, 200)
        try:
            await _while_connected(self._play(exchange, answer, behaviour, generation, random), exchange.receive)
        finally:
            if generation.outcome == "running":
                generation.ended = time.time()
                self._state.ledger.close_generation(generation, "aborted")

    async def _play(
        self, exchange: _Exchange, answer: Answer, behaviour: Behaviour, generation: Generation, random: Random
    ) -> None:
        await asyncio.sleep(behaviour.headers_delay_seconds)
        kind = wire.EVENT_STREAM_HEADERS if generation.streamed else wire.JSON_HEADERS
        headers = [*kind, *_edge_headers(), (b"x-generation-id", generation.id.encode())]
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})

        def on_tokens(count: int) -> None:
            if generation.first_token is None:
                generation.first_token = time.time()
            generation.served_tokens += count

        transport: asyncio.Transport = exchange.scope["extensions"]["emulator"]["transport"]
        pace = self._pace(answer, behaviour, generation.streamed, random)
        script = stream_script(answer, behaviour) if generation.streamed else whole_script(answer, behaviour)
        end = await Player(exchange.send, transport, pace, behaviour, on_tokens).play(script)
        generation.ended = time.time()
        generation.finish_reason = end.finish_reason
        generation.native_finish_reason = end.native_finish_reason
        if not generation.streamed:
            generation.served_tokens = end.tokens
        self._state.ledger.close_generation(generation, "failed" if end.failed else "completed")

    def _prepare(self, request: ChatRequest, behaviour: Behaviour, random: Random) -> Answer:
        settings = self._state.settings
        created = int(time.time())
        model = request.models[min(behaviour.model_index, len(request.models) - 1)]
        return Answer(
            envelope=wire.Envelope(_generation_id(created), created, model, behaviour.provider),
            text=write_answer(request, behaviour, random),
            prompt_tokens=-(-len(request.prompt) // settings.chars_per_token),
            max_tokens=request.max_tokens,
            chars_per_token=behaviour.chars_per_token or settings.chars_per_token,
            hides_reasoning=request.hides_reasoning,
            ttft_seconds=_given(behaviour.ttft_seconds, settings.ttft_seconds),
            tokens_per_second=_given(behaviour.tokens_per_second, settings.tokens_per_second),
        )

    def _open(self, request: ChatRequest, behaviour: Behaviour, answer: Answer) -> Generation:
        delay = _given(behaviour.generation_delay_seconds, self._state.settings.generation_delay_seconds)
        user = request.body.get("user")
        generation = Generation(
            id=answer.envelope.id,
            model=answer.envelope.model,
            provider=answer.envelope.provider,
            session_id=request.session_id,
            user=user if isinstance(user, str) else None,
            streamed=request.stream,
            created=time.time(),
            delay_seconds=delay,
            prompt_tokens=answer.prompt_tokens,
            total_tokens=completion_tokens(answer, behaviour),
            reasoning_tokens=behaviour.reasoning_tokens,
        )
        self._state.ledger.open_generation(generation)
        return generation

    def _pace(self, answer: Answer, behaviour: Behaviour, streamed: bool, random: Random) -> Pace:
        settings = self._state.settings
        return Pace(
            token_gap=1 / answer.tokens_per_second,
            jitter=_given(behaviour.jitter, settings.jitter),
            comment_interval=_given(behaviour.comment_seconds, settings.comment_seconds),
            between_interval=_given(behaviour.between_comment_seconds, settings.between_comment_seconds),
            write_interval=settings.write_interval_seconds,
            between_comment=wire.COMMENT if behaviour.comments and streamed else b"",
            random=random,
        )

    async def _reject(self, exchange: _Exchange, request: ChatRequest | None, answer: HttpAnswer, delay: float) -> None:
        self._state.ledger.counters.rejected += 1
        self._record(exchange, request, None, answer.status)
        await _while_connected(_send_whole(exchange.send, answer, delay), exchange.receive)

    def _record(self, exchange: _Exchange, request: ChatRequest | None, generation_id: str | None, status: int) -> None:
        headers = exchange.headers.items()
        self._state.ledger.record_request(
            RecordedRequest(
                number=self._state.ledger.counters.requests,
                received=time.time(),
                method=exchange.scope["method"],
                path=exchange.scope["path"],
                headers={name: "redacted" if name == "authorization" else value for name, value in headers},
                body=_shown_body(exchange.raw),
                prompt=None if request is None else request.prompt,
                session_id=None if request is None else request.session_id,
                generation_id=generation_id,
                status=status,
            )
        )


async def _send_whole(send: Send, answer: HttpAnswer, delay: float) -> None:
    await asyncio.sleep(delay)
    headers = [*answer.headers, *_edge_headers()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def _while_connected(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Run to the end, or until the client closes: then the work is cancelled, wherever it waits."""
    playing = asyncio.create_task(work)
    watching = asyncio.create_task(until_disconnect(receive))
    try:
        await asyncio.wait({playing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()
    finally:
        for task in (playing, watching):
            task.cancel()
        await asyncio.gather(playing, watching, return_exceptions=True)


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, cut at the limit plus one; None when the client left before it was complete."""
    body = bytearray()
    while len(body) <= MAX_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


def _checked_request(raw: bytes, headers: Headers) -> ChatRequest:
    if not is_authenticated(headers):
        raise RequestRefusedError(MISSING_AUTHENTICATION, 401)
    if len(raw) > MAX_BODY:
        raise RequestRefusedError("Request payload too large", 413)
    return read_chat_request(raw, headers)


def _shown_body(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw[:MAX_BODY].decode("utf-8", "replace")


def _generation_id(created: int) -> str:
    return f"gen-{created}-" + "".join(secrets.choice(_ALPHABET) for _ in range(20))


def _edge_headers() -> list[tuple[bytes, bytes]]:
    return [*wire.EDGE_HEADERS, (b"cf-ray", f"{secrets.token_hex(8)}-FRA".encode())]


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
