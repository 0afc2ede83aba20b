"""The process: settings → sockets → serve until SIGTERM or SIGINT."""

import asyncio
import contextlib
import os
import sys

import uvloop
from pydantic import ValidationError

from openrouter_emulator.server import bind, make_server, urls
from openrouter_emulator.settings import read_settings
from openrouter_emulator.state import EmulatorState


def main() -> int:
    """Serve; the exit status of a process that could not."""
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        sockets = bind(settings)
    except (ValidationError, OSError) as error:
        sys.stderr.write(f"openrouter-emulator: {error}\n")
        return 2
    base_url, control_url = urls(sockets)

    def say_ready() -> None:
        sys.stdout.write(f"openrouter-emulator: {base_url} (control: {control_url})\n")
        sys.stdout.flush()

    server = make_server(EmulatorState(settings), say_ready, handles_signals=True)
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets))
    return 0
