"""The yardstick: nothing but ASGI on uvicorn, set up like the services, writing events of a given size at a given rate.

    python -m planbench.bare_asgi      prints {"port": …} and serves until its standard input ends

GET /events?size=340&rate=20   a stream; rate 0: one event, then none
GET /count                     how many events have been written
"""

import asyncio
import contextlib
import json
import socket
import sys
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.types import Receive, Scope, Send

_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store, no-transform")]
_FRAME = b"id: 1.100\nevent: bare\ndata: %b\n\n"


class Bare:
    """The application."""

    def __init__(self) -> None:
        self.written = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; of the lifespan nothing is needed."""
        if scope["path"] == "/count":
            body = json.dumps({"events": self.written}).encode()
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
            )
            await send({"type": "http.response.body", "body": body})
            return
        query = parse_qs(scope["query_string"].decode())
        size, rate = int(query["size"][0]), float(query["rate"][0])
        event = _FRAME % (b"x" * (size - len(_FRAME) + 2))
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        stream = asyncio.create_task(
            self._stream(send, {"type": "http.response.body", "body": event, "more_body": True}, rate)
        )
        while (await receive())["type"] != "http.disconnect":
            pass
        stream.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stream

    async def _stream(self, send: Send, message: dict[str, Any], rate: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await send(message)
            self.written += 1
            if rate <= 0:
                return
            due += 1 / rate
            await asyncio.sleep(due - loop.time())


async def serve() -> None:
    """Serve on any free port until the standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        Bare(),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    config = uvicorn.Config(Bare(), loop="uvloop")
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())
