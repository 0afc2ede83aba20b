"""An application on a socket, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from common.http_protocol import BoundedHttpProtocol
from common.server import WebSockets, listen


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    app: ASGIApp,
    lifespan: Literal["on", "off"] = "on",
    http: type[BoundedHttpProtocol] = BoundedHttpProtocol,
    websockets: WebSockets | None = None,
) -> AsyncIterator[str]:
    """Serve it for the length of the block, over HTTP as the services speak it; its base URL."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        app,
        http=http,
        lifespan=lifespan,
        log_config=None,
        timeout_graceful_shutdown=2,
        **WebSockets.options(websockets),
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not task.done(), "the server did not start"
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()
