"""One answer while it streams."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Self

import aiohttp

from common.contracts.errors import ErrorCode
from generator.openrouter import session
from generator.openrouter.call import StreamChunk, UpstreamCall
from generator.openrouter.config import OpenRouterConfig
from generator.openrouter.failures import UpstreamError
from generator.openrouter.fold import StreamFold
from generator.openrouter.watchdog import Watchdog

# `[DONE]` and the end of the body are written together; a connection is not worth more patience than this.
_END_OF_BODY_SECONDS: Final = 0.25


class PlanStream:
    """The content of a streamed answer, one item per network read that brought some.

    Attributes:
        call: the record of the call, filled as it goes, complete after the end.
        before_read: called before each network read. It may `pause()` the socket and have it resumed later, so that
            this one read brings many tokens. Upstream's deadlines go on meanwhile, and hold from then on.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, call: UpstreamCall, config: OpenRouterConfig, first_data_at: float
    ) -> None:
        """Args: `first_data_at` is the deadline of the first data, in the loop's time."""
        self.call = call
        self.before_read: Callable[[], None] | None = None
        self._response = response
        self._config = config
        self._fold = StreamFold(call, max_output_chars=config.max_output_chars)
        self._watchdog = Watchdog(asyncio.get_running_loop(), partial(session.close, response), first_data_at)
        self._paused: asyncio.Transport | None = None
        self._whole = True

    def __aiter__(self) -> Self:
        """The stream is its own iterator; it can be read once."""
        return self

    async def __anext__(self) -> StreamChunk:
        """The next text.

        Raises:
            UpstreamError: the stream failed; all text before the failure has been returned.
        """
        while not self._fold.over:
            text = self._take(await self._read())
            if text:
                return StreamChunk(text)
        if self._fold.failure is not None:
            raise self._fold.failure.hide(self._config.api_key.get_secret_value())
        raise StopAsyncIteration

    @property
    def flowing(self) -> bool:
        """Between the first data and the finish reason, which is when there may be much to read at once."""
        return self._fold.started and not self._fold.finished

    @property
    def chars(self) -> int:
        """How much content has come."""
        return self.call.chars

    def pause(self) -> None:
        """Stop reading from the socket until `resume()`, or the end of the read."""
        connection = self._response.connection
        if self._paused is None and connection is not None and connection.transport is not None:
            self._paused = connection.transport
            self._paused.pause_reading()

    def resume(self) -> None:
        """Let the socket be read again; without a pause it does nothing."""
        transport, self._paused = self._paused, None
        if transport is None:
            return
        self._watchdog.enter()
        if not transport.is_closing():
            transport.resume_reading()

    def abort(self) -> None:
        """Close the connection now."""
        self._watchdog.close()
        session.close(self._response)

    async def close(self) -> None:
        """Give the connection back after a clean end, else close it."""
        self.resume()
        self._watchdog.close()
        if self._fold.over and self._fold.failure is None and self._whole:
            await session.release(self._response, _END_OF_BODY_SECONDS)
        else:
            self.abort()

    async def _read(self) -> bytes:
        """What one network read brings; empty at the end of the body."""
        if self.before_read is not None:
            self._watchdog.pause()
            self.before_read()
        if self._paused is None:
            self._watchdog.enter()
        try:
            return await self._response.content.readany()
        except session.READ_ERRORS as error:
            return self._broken(error)
        finally:
            self.resume()
            self._watchdog.leave()

    def _take(self, data: bytes) -> str:
        fold = self._fold
        if not data:
            fold.eof()
            return ""
        started, finished = fold.started, fold.finished
        text = fold.feed(data)
        if fold.finished:
            if not finished:
                self._watchdog.allow(self._config.after_finish_seconds)
        elif fold.progressed or fold.started != started:
            self._watchdog.allow(self._config.silence_seconds)
        return text

    def _broken(self, error: BaseException) -> bytes:
        """After the finish reason the content is whole: only accounting is lost. Before it, this is the failure."""
        self._whole = False
        if self._fold.finished:
            return b""
        if self._watchdog.expired:
            waited_for = "progress" if self._fold.started else "the first data"
            failure = UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, f"no answer: waited for {waited_for}", retryable=True)
        else:
            failure = session.network_failure(error, "reading")
        failure.after_content = self.call.chars > 0
        raise failure.hide(self._config.api_key.get_secret_value()) from error
