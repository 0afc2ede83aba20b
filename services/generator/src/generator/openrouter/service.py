"""OpenRouterService: a plan as a stream, a plan in one answer, and what an aborted call cost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Final

import aiohttp

from generator.openrouter import session as http
from generator.openrouter.call import Completion, UpstreamCall, label
from generator.openrouter.completion import read_completion, read_generation
from generator.openrouter.config import CompletionRequest, OpenRouterConfig, request_body
from generator.openrouter.failures import UpstreamError, from_response, parse_retry_after
from generator.openrouter.stream import PlanStream

_MAX_ERROR_BODY: Final = 64 * 1024
_ERROR_BODY_SECONDS: Final = 5.0
_LOOKUP_SECONDS: Final = 10.0
_FIRST_LOOKUP_PAUSE: Final = 0.5
_jitter = SystemRandom()


class OpenRouterService:
    """Calls OpenRouter's Chat Completions.

    It never retries a generation: another try is another bill, so that is the caller's decision.
    """

    def __init__(self, session: aiohttp.ClientSession, config: OpenRouterConfig) -> None:
        """Args: `session` from `new_session`; the caller closes it."""
        self._session = session
        self._config = config
        self._timeout = http.timeouts(config)
        self._secret = config.api_key.get_secret_value()

    @asynccontextmanager
    async def generate_plan_stream(
        self,
        request: CompletionRequest,
        *,
        call: UpstreamCall | None = None,
        before_read: Callable[[], None] | None = None,
    ) -> AsyncIterator[PlanStream]:
        """Open a stream; leaving the context closes the connection at once unless the stream has ended cleanly.

        Args:
            request: what to ask.
            call: a record to fill, for a caller that wants to keep it beyond a failure.
            before_read: called before each network read (see `PlanStream`).

        Raises:
            UpstreamError: the call was refused or broke, here or while iterating.
        """
        call = UpstreamCall() if call is None else call
        first_data_at = asyncio.get_running_loop().time() + self._config.first_data_seconds
        response = await self._open(request, call, stream=True, seconds=self._config.first_data_seconds)
        stream = PlanStream(response, call, self._config, first_data_at)
        stream.before_read = before_read
        try:
            yield stream
        except BaseException:
            stream.abort()
            raise
        else:
            await stream.close()
        finally:
            call.estimate(request.prompt_chars)

    async def generate_plan(self, request: CompletionRequest, *, call: UpstreamCall | None = None) -> Completion:
        """One answer without streaming; cancelling it may not stop the billing.

        Raises:
            UpstreamError: the call was refused, broke or took longer than `completion_seconds`.
        """
        call = UpstreamCall() if call is None else call
        deadline = asyncio.get_running_loop().time() + self._config.completion_seconds
        response = await self._open(request, call, stream=False, seconds=self._config.completion_seconds)
        # A character takes at most six bytes of JSON (\uXXXX), and as much again may be reasoning.
        try:
            body = await self._body(response, 12 * self._config.max_output_chars, deadline)
            text = read_completion(body, call)
        except UpstreamError as failure:
            raise failure.hide(self._secret) from failure.__cause__
        finally:
            # Also of one that is given up: it was made.
            call.estimate(request.prompt_chars)
        return Completion(text, call)

    async def fetch_usage(self, generation_id: str, delays: Sequence[float] | None = None) -> UpstreamCall | None:
        """What a call cost that never reported it, or None when OpenRouter does not say in time.

        Args:
            generation_id: from the call's record.
            delays: seconds before each further try (jittered), because the record is a 404 at first; by default those
                of `lookup_pauses` for the config's `usage_lookup_seconds`.
        """
        for delay in (*(lookup_pauses(self._config.usage_lookup_seconds) if delays is None else delays), None):
            found, final = await self._look_up(generation_id)
            if found is not None or final or delay is None:
                return found
            await asyncio.sleep(delay * _jitter.uniform(0.5, 1.5))
        return None

    async def _open(
        self, request: CompletionRequest, call: UpstreamCall, *, stream: bool, seconds: float
    ) -> aiohttp.ClientResponse:
        """Send the request and wait for an answer that promises a completion."""
        try:
            async with asyncio.timeout(seconds):
                response = await self._session.post(
                    self._config.url("/chat/completions"),
                    data=request_body(self._config, request, stream=stream),
                    headers={"Content-Type": "application/json"},
                    timeout=self._timeout,
                    allow_redirects=False,
                )
        except asyncio.CancelledError:
            call.estimate(request.prompt_chars)  # it may have been sent, and is paid for then
            raise
        except http.NETWORK_ERRORS as error:
            if not isinstance(error, http.UNCONNECTED):
                call.estimate(request.prompt_chars)
            raise http.network_failure(error, "connecting").hide(self._secret) from error
        call.generation_id = label(response.headers.get("X-Generation-Id")) or call.generation_id
        if response.status == 200 and not (stream and _is_document(response)):
            return response
        deadline = asyncio.get_running_loop().time() + min(_ERROR_BODY_SECONDS, seconds)
        retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time())
        try:
            body = await self._body(response, _MAX_ERROR_BODY, deadline)
        except UpstreamError:
            body = b""  # the status says enough
        raise from_response(response.status, body, retry_after).hide(self._secret)

    async def _body(self, response: aiohttp.ClientResponse, limit: int, deadline: float) -> bytes:
        """A whole body by a deadline in the loop's time; the connection is reusable only when all of it was read."""
        try:
            async with asyncio.timeout_at(deadline):
                return await http.read_body(response, limit)
        except http.READ_ERRORS as error:
            raise http.network_failure(error, "reading the answer").hide(self._secret) from error
        finally:
            if not response.content.at_eof():
                http.close(response)
            response.release()

    async def _look_up(self, generation_id: str) -> tuple[UpstreamCall | None, bool]:
        """One try: what was found, and whether another try is of no use."""
        deadline = asyncio.get_running_loop().time() + _LOOKUP_SECONDS
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._session.get(
                    self._config.url("/generation"),
                    params={"id": generation_id},
                    timeout=self._timeout,
                    allow_redirects=False,
                )
            body = await self._body(response, _MAX_ERROR_BODY, deadline)
        except (*http.NETWORK_ERRORS, UpstreamError):
            return None, False
        if response.status == 200:
            return read_generation(body), False
        return None, response.status in {400, 401, 402, 403}


def lookup_pauses(seconds: float) -> list[float]:
    """Pauses that double, as many as are not longer than `seconds` together."""
    pauses: list[float] = []
    while sum(pauses) + (pause := _FIRST_LOOKUP_PAUSE * 2 ** len(pauses)) <= seconds:
        pauses.append(pause)
    return pauses


def _is_document(response: aiohttp.ClientResponse) -> bool:
    """An answer to a stream request that is no stream: an error object or an edge's HTML page."""
    return response.content_type in {"application/json", "text/html"}
