"""`python -m local_stack run` and `stop`."""

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from local_stack.console import Console, terminal
from local_stack.errors import StackError
from local_stack.opening import open_stack
from local_stack.processes import Hurry, is_alive
from local_stack.settings import StackSettings, read_settings
from local_stack.stack import Stack
from local_stack.state import runner_pid
from local_stack.watch import watch

_STOP_SECONDS = 60
_TERMINAL_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ABOUT = """\
The whole system on this machine: PostgreSQL, NATS, the three services, and an emulator in OpenRouter's place when
OPENROUTER_API_KEY is not set. Everything listens on 127.0.0.1.
"""
_SETTINGS = """\
Settings come from the environment and are passed on to the services. The stack's own:
  PORT=8080          the gateway's port; more gateways take the ports after it
  HOST=127.0.0.1     where the gateways listen (another address needs AUTH_MODE=jwt)
  GENERATORS=1       how many generators
  GATEWAYS=1         how many gateways
  DATABASE_URL       an administrator's address of a PostgreSQL to use instead of the embedded one
  NATS_URL           a NATS server with JetStream to use instead of the embedded one
  OPENROUTER_API_KEY, OPENROUTER_BASE_URL    OpenRouter, or what stands in for it, instead of the emulator
  SERVICE_TOKEN      between the services; by default new for each run
  NO_COLOR           plain text, also on a terminal
"""


def main() -> int:
    """Parse the arguments and do it; the return value is the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local_stack",
        description=_ABOUT,
        epilog=_SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--directory", type=Path, default=Path(".run"), help="state and logs (default: .run)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|stop")
    commands.add_parser("run", help="start everything and stay until Ctrl-C")
    commands.add_parser("stop", help="end the stack that runs in the directory")
    arguments = parser.parse_args()
    console = terminal()
    try:
        if arguments.command == "stop":
            return _stop(arguments.directory, console)
        return asyncio.run(_run(read_settings(os.environ), arguments.directory, console))
    except StackError as error:
        console.error(str(error))
        return 1
    except PermissionError as error:
        console.error(
            f"{error.filename} belongs to another user, perhaps of an earlier run: remove it, or run as root."
        )
        return 1


async def _run(settings: StackSettings, directory: Path, console: Console) -> int:
    """Exit code: 0 when a running stack was told to end, 128 + signal when that came while it was starting."""
    began = time.monotonic()
    hurry = Hurry()
    interruption = _Interruption(hurry, console)
    ready = False
    try:
        async with open_stack(settings, directory, console, hurry) as stack:
            _announce(stack, settings, time.monotonic() - began, console)
            ready = True
            await watch(stack, console)
    except asyncio.CancelledError:
        if interruption.number is None:
            raise
    console.say(f"Stopped; {directory} keeps the data and the logs.")
    return 0 if ready else 128 + (interruption.number or 0)


class _Interruption:
    """The first signal ends the stack in order; the next one at once."""

    def __init__(self, hurry: Hurry, console: Console) -> None:
        self.number: int | None = None
        self._hurry = hurry
        self._console = console
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            # nohup's wish is kept. Ctrl-C is heard also by a background job of a script, which starts deaf to it.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal, number)
                if number == signal.SIGHUP and sys.stdout.isatty():
                    self._look_for_terminal(loop)

    def _look_for_terminal(self, loop: asyncio.AbstractEventLoop) -> None:
        """A terminal that is gone sends SIGHUP to its first process alone; when that is `make`, it is not passed on."""
        if sys.stdout.isatty():
            loop.call_later(_TERMINAL_SECONDS, self._look_for_terminal, loop)
        else:
            self._on_signal(signal.SIGHUP)

    def _on_signal(self, number: int) -> None:
        if self.number is not None:
            self._hurry.now = True
            return
        self.number = number
        self._console.say("\nStopping … (once more: at once)")
        if self._task is not None:
            self._task.cancel()


def _announce(stack: Stack, settings: StackSettings, seconds: float, console: Console) -> None:
    page = f"{stack.gateway}/"
    console.strong(f"\nReady in {seconds:.1f} s: {page}\n")
    if settings.environment.get("AUTH_MODE", "dev") == "dev":
        console.say(_EXAMPLE.format(gateway=stack.gateway))
    console.say(f"Logs: {stack.directory / 'logs'}. Ctrl-C ends everything.")


_EXAMPLE = """\
Try it in another terminal:
  USER_ID=11111111-1111-4111-8111-111111111111
  PREFERENCE_ID=$(curl -s {gateway}/api/plan/inputs -H 'Content-Type: application/json' \\
    -d '{{"userId": "'$USER_ID'", "goals": "Run 10 km by spring"}}' | sed 's/.*"preferenceId": *"\\([^"]*\\)".*/\\1/')
  curl -N {gateway}/api/streaming/generate-plan -H 'Content-Type: application/json' \\
    -d '{{"userId": "'$USER_ID'", "preferenceId": "'$PREFERENCE_ID'"}}'
"""


def _stop(directory: Path, console: Console) -> int:
    pid = runner_pid(directory)
    if pid is None:
        console.say(f"No stack runs in {directory}.")
        return 0
    runner = psutil.Process(pid)
    runner.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    while is_alive(runner):
        if time.monotonic() > deadline:
            raise StackError(f"Process {pid} did not end within {_STOP_SECONDS} s.")
        time.sleep(0.05)
    console.say("Stopped.")
    return 0
