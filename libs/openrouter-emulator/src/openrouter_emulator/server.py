"""The emulator on real sockets: as a process, in the current event loop, or in a thread of its own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openrouter_emulator.app import API_PATH, CONTROL_PATH, create_app
from openrouter_emulator.behaviours import Assignment, Behaviour, Match
from openrouter_emulator.control import rule_view, stats_view
from openrouter_emulator.ledger import MAX_REQUESTS, RecordedRequest
from openrouter_emulator.settings import Settings
from openrouter_emulator.state import EmulatorState

BACKLOG = 2048
_SHUTDOWN_SECONDS = 2


class EmulatorProtocol(HttpToolsProtocol):
    """Gives the application the transport, to break it, and leaves nobody waiting at shutdown."""

    def on_message_begin(self) -> None:
        """Start a request; its scope holds the transport."""
        super().on_message_begin()
        self.scope["extensions"] = {"emulator": {"transport": self.transport}}

    def shutdown(self) -> None:
        """Close at once, also in the middle of a response."""
        self.transport.abort()


class EmulatorServer(uvicorn.Server):
    """A uvicorn server that says when it serves."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], *, handles_signals: bool) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._handles_signals = handles_signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, then call `on_ready`."""
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process around an embedded server."""
        with super().capture_signals() if self._handles_signals else contextlib.nullcontext():
            yield


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """An emulator that serves, and the ways to steer it without HTTP."""

    base_url: str
    """Ends in /api/v1."""
    control_url: str
    """Ends in /control."""
    state: EmulatorState

    def behave(self, behaviour: Behaviour | None = None, /, *, times: int | None = 1, **match: Any) -> str:
        """Put a behaviour in force, for the requests that `match` (the fields of `Match`) names.

        Returns:
            The id for `state.rules.remove`.
        """
        assignment = Assignment(behaviour=behaviour or Behaviour(), match=Match(**match), times=times)
        return str(rule_view(self.state.rules.add(assignment))["id"])

    def stats(self, limit: int = MAX_REQUESTS) -> dict[str, Any]:
        """The same as `GET /control/stats`."""
        return stats_view(self.state, limit)

    def requests(self, limit: int = MAX_REQUESTS) -> list[RecordedRequest]:
        """What was asked, the newest first."""
        return self.state.ledger.requests(limit)


@contextlib.asynccontextmanager
async def running_emulator(
    settings: Settings | None = None, *, in_thread: bool = False
) -> AsyncIterator[RunningEmulator]:
    """Serve on a real socket until the context ends; open streams are then cut.

    Args:
        settings: `port` is ignored unless given: the default here is a free port.
        in_thread: serve from an event loop of its own, so that a busy test does not slow the emulator down.
    """
    settings = settings or Settings()
    if "port" not in settings.model_fields_set:
        settings = settings.model_copy(update={"port": 0})
    state = EmulatorState(settings)
    sockets = bind(settings)
    loop, ready = asyncio.get_running_loop(), asyncio.Event()

    def on_ready() -> None:
        loop.call_soon_threadsafe(ready.set)

    server = make_server(state, on_ready, handles_signals=False)
    serve = asyncio.to_thread(_serve_in_loop, server, sockets) if in_thread else server.serve(sockets)
    serving = asyncio.create_task(serve)
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        yield RunningEmulator(*urls(sockets), state)
    finally:
        waiting.cancel()
        server.should_exit = True
        await serving


def make_server(state: EmulatorState, on_ready: Callable[[], None], *, handles_signals: bool) -> EmulatorServer:
    """A server for an emulator's application."""
    config = uvicorn.Config(
        create_app(state),
        http=EmulatorProtocol,
        ws="none",
        lifespan="off",
        log_level=state.settings.log_level,
        log_config=None if not handles_signals else uvicorn.config.LOGGING_CONFIG,
        access_log=state.settings.log_level in ("info", "debug", "trace"),
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    return EmulatorServer(config, on_ready, handles_signals=handles_signals)


def bind(settings: Settings) -> list[socket.socket]:
    """Listening sockets: the port, then the control port if there is one.

    Raises:
        OSError: a port is taken, or the address is not ours.
    """
    ports = [settings.port] if settings.control_port is None else [settings.port, settings.control_port]
    with contextlib.ExitStack() as on_failure:
        sockets = []
        for port in ports:
            listening = socket.create_server((settings.host, port), backlog=BACKLOG)
            on_failure.callback(listening.close)
            sockets.append(listening)
        on_failure.pop_all()
    return sockets


def urls(sockets: list[socket.socket]) -> tuple[str, str]:
    """The base URL of the API and that of the control API."""
    origins = [f"http://{host}:{port}" for host, port in (listening.getsockname()[:2] for listening in sockets)]
    return origins[0] + API_PATH, origins[-1] + CONTROL_PATH


def _serve_in_loop(server: EmulatorServer, sockets: list[socket.socket]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets))
