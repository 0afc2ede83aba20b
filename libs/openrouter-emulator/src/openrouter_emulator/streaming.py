"""Plays a script on a connection: an absolute schedule, comments, and every way to end a response."""

import asyncio
import re
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from starlette.types import Receive, Send

from openrouter_emulator.behaviours import Behaviour
from openrouter_emulator.script import End, Say, Step, Wait

MAX_BATCH = 256
"""Tokens in one write, when the schedule is that late."""

# Closing with a zero linger time sends RST instead of FIN (socket(7)).
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_FLUSH_SECONDS = 0.02

_DATA_FIELD = re.compile(rb"(?m)^data: ")


@dataclass(frozen=True, slots=True)
class Pace:
    """When tokens and comments are due; seconds."""

    token_gap: float
    jitter: float
    comment_interval: float
    between_interval: float
    write_interval: float
    """Least time between two writes: late tokens then share one. A write costs most of what a token costs."""
    between_comment: bytes
    random: Random


class Player:
    """Plays one script."""

    def __init__(
        self,
        send: Send,
        transport: asyncio.Transport,
        pace: Pace,
        behaviour: Behaviour,
        on_tokens: Callable[[int], None],
    ) -> None:
        self._send = send
        self._transport = transport
        self._pace = pace
        self._behaviour = behaviour
        self._on_tokens = on_tokens
        self._time = asyncio.get_running_loop().time
        self._pending: list[bytes] = []
        self._pending_tokens = 0

    async def play(self, script: Iterator[Step]) -> End:
        """Play to the end; the response is over then, unless the connection was cut or reset on purpose."""
        pace = self._pace
        due = self._time()
        next_comment = due + pace.between_interval
        for step in script:
            if isinstance(step, bytes):
                now = self._time()
                if due > now:
                    await self._sleep_until(due)
                    now = self._time()
                if pace.between_comment and now >= next_comment:
                    self._pending.append(pace.between_comment)
                    next_comment = now + pace.between_interval
                await self._token(step)
                due += pace.token_gap * (1 + pace.jitter * (2 * pace.random.random() - 1))
            elif isinstance(step, Wait):
                due = await self._wait(step, due)
                next_comment = due + pace.between_interval
            elif isinstance(step, Say):
                self._pending.append(step.data)
            else:
                return await self._end(step)
        raise AssertionError("a script ends in an End")

    async def _token(self, event: bytes) -> None:
        self._pending_tokens += 1
        self._pending.append(event)
        if len(self._pending) >= MAX_BATCH:
            await self._flush()
            # Other streams and the disconnect get their turn even when this one is far behind.
            await asyncio.sleep(0)

    async def _sleep_until(self, due: float) -> None:
        """Wait for the next token; a gap longer than the comment interval holds comments."""
        pace = self._pace
        await self._flush()
        due = max(due, self._time() + pace.write_interval)
        while pace.between_comment and due - self._time() > pace.between_interval:
            await asyncio.sleep(pace.between_interval)
            self._pending.append(pace.between_comment)
            await self._flush()
        await asyncio.sleep(due - self._time())

    async def _wait(self, step: Wait, due: float) -> float:
        """Wait with keep-alives, the first at once; when the next token is due."""
        await self._flush()
        start = max(self._time(), due)
        end = None if step.seconds is None else start + step.seconds
        beat = self._time()
        while end is None or beat < end:
            if step.keepalive:
                self._pending.append(step.keepalive)
                await self._flush()
            beat += self._pace.comment_interval
            wake = beat if end is None else min(beat, end)
            await asyncio.sleep(max(0.0, wake - self._time()))
        return start if end is None else end

    async def _end(self, end: End) -> End:
        if end.how == "reset":
            await self._flush()
            await self._reset(end.data)
        elif end.how == "cut":
            self._pending.append(end.data)
            await self._flush()
            self._transport.close()
        else:
            self._pending.append(end.data)
            await self._flush(more_body=False)
        return end

    async def _flush(self, *, more_body: bool = True) -> None:
        body = self._framed(b"".join(self._pending))
        self._pending.clear()
        if self._behaviour.drip_seconds is not None:
            await self._drip(body, self._behaviour.drip_seconds)
            body = b""
        if body or not more_body:
            # The last bytes and the end of the body go out in one call: who reads [DONE] may close at once.
            await self._send({"type": "http.response.body", "body": body, "more_body": more_body})
        if self._pending_tokens:
            self._on_tokens(self._pending_tokens)
            self._pending_tokens = 0

    async def _drip(self, body: bytes, seconds: float) -> None:
        for position in range(len(body)):
            await self._send({"type": "http.response.body", "body": body[position : position + 1], "more_body": True})
            await asyncio.sleep(seconds)

    async def _reset(self, event: bytes) -> None:
        """Send half an HTTP chunk, then RST."""
        body = self._framed(event)
        self._transport.write(b"%x\r\n%b" % (len(body), body[: len(body) // 2]))
        await asyncio.sleep(_FLUSH_SECONDS)
        reset_connection(self._transport)

    def _framed(self, body: bytes) -> bytes:
        # JSON has no raw line ends, so what stands at a line's begin is the field name.
        if not self._behaviour.space_after_data:
            body = _DATA_FIELD.sub(b"data:", body)
        return body.replace(b"\n", b"\r\n") if self._behaviour.crlf else body


def reset_connection(transport: asyncio.Transport) -> None:
    """Close with RST; what the peer has not read yet may be lost to it."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


async def until_disconnect(receive: Receive) -> None:
    """Return when the client has closed, or the response is complete."""
    while (await receive())["type"] != "http.disconnect":
        pass
