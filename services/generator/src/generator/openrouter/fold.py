"""The bytes of one streamed answer → its content text, how it ended, and the record of the call. Pure."""

import json
from typing import Any, Final

import orjson

from common.contracts.errors import ErrorCode
from common.sse import Decoder, LineTooLongError
from generator.openrouter.call import UpstreamCall, amount, count, label
from generator.openrouter.chunks import Chunk, classify, plain_content
from generator.openrouter.failures import UpstreamError, from_error

DONE: Final = "[DONE]"


class StreamFold:
    """Feed it what each network read brought; it is `over` at `[DONE]`, at EOF, or at the first failure.

    Attributes:
        call: filled as it goes.
        failure: why the stream failed; the text that came before it has been returned.
        over: nothing more is read.
        started: a `data:` event came that was not a debug chunk.
        progressed: the last read carried something, so the silence is broken.
    """

    def __init__(self, call: UpstreamCall, *, max_output_chars: int) -> None:
        self.call = call
        self.failure: UpstreamError | None = None
        self.over = False
        self.started = False
        self.progressed = False
        self._max_output_chars = max_output_chars
        self._decoder = Decoder()
        self._refusal = ""
        self._surrogates = False
        self._half = ""

    @property
    def finished(self) -> bool:
        """A finish reason came; only usage and `[DONE]` can still follow."""
        return self.call.finish_reason is not None

    def feed(self, data: bytes) -> str:
        """All the content text that these bytes complete; empty when they bring none."""
        self.progressed = False
        try:
            events = self._decoder.feed(data)
        except LineTooLongError as error:
            self._fail(str(error), retryable=False)
            return ""
        parts: list[str] = []
        for event in events:
            if self.over:
                break
            self._take(event.data, parts)
        return self._bounded("".join(parts)) if parts else ""

    def eof(self) -> None:
        """The body ended. Without `[DONE]` that is fine once a finish reason came, else the answer is cut off."""
        if self.over:
            return
        if self.finished:
            self._end()
        else:
            self._fail("the stream ended without a finish reason", retryable=True)

    def _take(self, data: str, parts: list[str]) -> None:
        if data == DONE:
            self._end()
            return
        if not data or data.isspace():
            return
        event = self._parse(data)
        if not isinstance(event, dict):
            self._fail(f"not a JSON object in a data line: {data[:200]}", retryable=True)
            return
        if self.call.model is not None and (content := plain_content(event)) is not None:
            self.started = self.progressed = True
            parts.append(content)
            self.call.chars += len(content)
            return
        chunk = classify(event)
        self.started = self.started or not chunk.debug
        self.progressed = self.progressed or chunk.meaningful
        if self.call.model is None or chunk.finish_reason or chunk.usage:
            self._record(event, chunk)
        if chunk.content:
            parts.append(chunk.content)
            self.call.chars += len(chunk.content)
        if chunk.error:
            self._stop(from_error(chunk.error))
        elif chunk.refusal:
            self._refusal += chunk.refusal

    def _parse(self, data: str) -> Any:
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            # A token may end within a character; JavaScript then writes half of a surrogate pair, which orjson refuses.
            if "\\u" not in data:
                return None
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return None
        self._surrogates = True
        return event

    def _record(self, event: dict[str, Any], chunk: Chunk) -> None:
        call = self.call
        call.generation_id = call.generation_id or label(event.get("id"))
        call.model = label(event.get("model")) or call.model
        call.provider = label(event.get("provider")) or call.provider
        # The finish reason comes twice; the second time it is only accounting.
        call.finish_reason = call.finish_reason or label(chunk.finish_reason)
        if chunk.usage is not None:
            usage = chunk.usage
            tokens = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
            call.report(*tokens, amount(usage.get("cost")))

    def _bounded(self, text: str) -> str:
        if self._surrogates:
            text = self._pair(text)
        surplus = self.call.chars - self._max_output_chars
        if surplus <= 0:
            return text
        self.call.chars = self._max_output_chars
        self._fail(f"the output is larger than {self._max_output_chars} characters", retryable=False)
        return text[: max(0, len(text) - surplus)]

    def _pair(self, text: str) -> str:
        """Join surrogates across reads; one that stays alone becomes U+FFFD."""
        text = self._half + text
        cut = len(text) - 1 if "\ud800" <= text[-1:] <= "\udbff" else len(text)
        self._half = text[cut:]
        return text[:cut].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _end(self) -> None:
        if self._refusal or self.call.finish_reason == "content_filter":
            detail = f"refused: {self._refusal or 'content_filter'}"
            self._stop(UpstreamError(ErrorCode.CONTENT_REFUSED, detail, retryable=False))
        elif self.call.chars == 0 and self.call.finish_reason != "length":
            self._fail(f"an answer without content, finish_reason {self.call.finish_reason}", retryable=True)
        else:
            self.over = True

    def _fail(self, detail: str, *, retryable: bool) -> None:
        self._stop(UpstreamError(ErrorCode.UPSTREAM_ERROR, detail, retryable=retryable))

    def _stop(self, failure: UpstreamError) -> None:
        failure.after_content = self.call.chars > 0
        self.failure = failure
        self.over = True
