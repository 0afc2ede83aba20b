"""A stream as raw ASGI: Server-Sent Events until the feed's end, the client's, or ours.

Per event there is no task and no timer: while the client keeps up, what comes is written as it comes, and the writer
wakes only for the rest; one lazy timer looks after the heartbeat, and one companion task watches `receive()` for the
client's going.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from common import sse, tracing
from common.http_protocol import PartWriter, has_stalled, part_writer
from common.server import send_of_server
from stream_gateway.feed import Feed
from stream_gateway.formats import HEADERS
from stream_gateway.viewer import Reason

# What a client waits before it comes again; spread, so that the viewers of a closed gateway do not come as one.
RETRY_MS = (1000, 3000)
GONE: frozenset[Reason | None] = frozenset({"disconnected", "stalled", "failed"})


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """In seconds."""

    heartbeat: float = 15
    max_age: float = 600

    def age(self) -> float:
        """How long one stream may live: up to a tenth less, so that they do not end together."""
        return self.max_age * random.uniform(0.9, 1.0)  # noqa: S311 - jitter


def _part(body: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _retry() -> bytes:
    return sse.retry(random.randint(*RETRY_MS))  # noqa: S311 - jitter


class EventStream(Response):
    """The response; `on_close` is called once, whatever happens."""

    def __init__(
        self,
        feed: Feed,
        opening: bytes,
        limits: StreamLimits,
        on_close: Callable[[], None],
        *,
        expires_in: float | None = None,
        headers: Mapping[str, str] = HEADERS,
    ) -> None:
        """`opening` is written first, whatever the feed has."""
        self.status_code = 200
        self.background = None
        self.init_headers(headers)
        self._feed = feed
        self._opening = opening
        self._limits = limits
        self._on_close = on_close
        self._expires_in = expires_in
        self._sent_at = 0.0
        self._heartbeat: asyncio.TimerHandle | None = None
        self._until_first: Callable[[], None] | None = tracing.begin("wait for the first event")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream to its end."""
        loop = asyncio.get_running_loop()
        feed = self._feed
        timers = [loop.call_later(self._limits.age(), feed.close, "age")]
        if self._expires_in is not None:
            timers.append(loop.call_later(max(0.0, self._expires_in), feed.close, "token_expired"))
        watcher = loop.create_task(_watch(scope, receive, feed))
        try:
            await self._write(scope, send)
        finally:
            feed.close("failed")
            watcher.cancel()
            for timer in (*timers, self._heartbeat):
                if timer is not None:
                    timer.cancel()
            self._on_close()
            self._wrote()
            await asyncio.wait({watcher})

    async def _write(self, scope: Scope, send: Send) -> None:
        """Each send waits until the client has taken what was sent before; who never does the server disconnects."""
        feed, clock = self._feed, asyncio.get_running_loop().time
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        send = send_of_server(scope, send)
        await send(_part(_retry() + self._opening))
        self._sent_at = clock()
        self._arm()
        if (writer := part_writer(scope)) is not None and not feed.pause:
            feed.try_first(partial(self._write_at_once, writer, clock))
        while True:
            await feed.wait()
            reason = feed.reason
            if reason in GONE:
                return
            waiting = feed.take()
            if reason is not None:
                await send(_part(waiting + (_retry() + b"\n" if reason == "drain" else b""), more=False))
                return
            if not waiting and not self._is_silent():
                continue
            await send(_part(waiting or sse.HEARTBEAT))
            self._sent_at = clock()
            if waiting and self._until_first is not None:
                self._wrote()
            if waiting and feed.pause and feed.reason is None:
                # Snapshots gather into the next one, unless the stream is over.
                await asyncio.sleep(feed.pause)

    def _write_at_once(self, writer: PartWriter, clock: Callable[[], float]) -> bool:
        """Whether that was all there is to do."""
        if self._feed.reason is not None or not writer.ready:
            return False
        try:
            waiting = self._feed.take()
        except Exception:
            # What was taken is lost to this stream, and must not be followed by more.
            self._feed.close("failed")
            raise
        if waiting:
            writer.write(waiting)
            self._sent_at = clock()
            if self._until_first is not None:
                self._wrote()
        return self._feed.reason is None and (bool(waiting) or not self._is_silent())

    def _wrote(self) -> None:
        """The first event of the plan has been written, or none will be."""
        if self._until_first is not None:
            self._until_first()
            self._until_first = None

    def _is_silent(self) -> bool:
        return asyncio.get_running_loop().time() - self._sent_at >= self._limits.heartbeat

    def _arm(self) -> None:
        """Look again when the heartbeat would be due if nothing else were sent."""
        loop = asyncio.get_running_loop()
        left = self._sent_at + self._limits.heartbeat - loop.time()
        if left <= 0:
            self._feed.wake()
            left = self._limits.heartbeat
        self._heartbeat = loop.call_later(left + 0.001, self._arm)


async def _watch(scope: Scope, receive: Receive, feed: Feed) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    feed.close("stalled" if has_stalled(scope) else "disconnected")
