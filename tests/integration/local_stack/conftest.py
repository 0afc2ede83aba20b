"""Stand-ins for the services, quick to start, and the runner as a user starts it."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local_stack.ports import free_port
from local_stack.processes import is_alive

_PACKAGES = ("plan_api", "generator", "stream_gateway", "openrouter_emulator")
# Answers every GET with its environment, dies when it is asked to, and is as broken as BROKEN and STUBBORN say.
_STAND_IN = """
import http.server, json, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            os._exit(3)
        body = json.dumps(dict(os.environ)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass

name = __spec__.parent
if name == os.environ.get("BROKEN"):
    sys.exit(f"{name} cannot start")
if name == os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
port = sys.argv[sys.argv.index("--port") + 1] if "--port" in sys.argv else os.environ["PORT"]
http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""
_DEADLINE_SECONDS = 20

Moment = Callable[["Runner"], bool]


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the services are stand-ins."""
    directory = tmp_path_factory.mktemp("stand-ins")
    for package in _PACKAGES:
        (directory / package / "migrations").mkdir(parents=True)
        (directory / package / "__init__.py").touch()
        (directory / package / "__main__.py").write_text(_STAND_IN)
        (directory / package / "settings.py").write_text("class Settings:\n    pass\n")
    return {"PYTHONPATH": str(directory)}


@pytest.fixture
def given(database: str, nats_url: str) -> dict[str, str]:
    """Servers that run already: quicker where the embedded ones are not the point."""
    return {"DATABASE_URL": database, "NATS_URL": nats_url}


class Runner:
    """`python -m local_stack run` in a directory, with a free port."""

    def __init__(self, directory: Path, output: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self._output = output
        with output.open("wb") as stdout:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local_stack", "--directory", str(directory), "run"],
                env={"PATH": os.environ["PATH"], **environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._output.read_text()

    @property
    def stack(self) -> dict[str, Any]:
        """What `stack.json` says."""
        value: dict[str, Any] = json.loads((self.directory / "stack.json").read_text())
        return value

    async def reach(self, moment: Moment) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not moment(self):
            assert time.monotonic() < deadline, self.output
            assert self.process.poll() is None, self.output
            await asyncio.sleep(0.005)

    async def ready(self) -> "Runner":
        """Wait until the stack is ready."""
        await self.reach(lambda runner: "Ready in" in runner.output)
        return self

    async def end(self, *signals: signal.Signals) -> int:
        """Send signals, wait for its end and give the exit code."""
        for number in signals:
            self.process.send_signal(number)
            await asyncio.sleep(0.1)
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.output
            await asyncio.sleep(0.01)
        return self.process.returncode

    async def cleared(self) -> None:
        """Wait until nothing runs on its behalf."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while left := self.left():
            assert time.monotonic() < deadline, left
            await asyncio.sleep(0.05)

    def left(self) -> list[str]:
        """The command lines of what runs on its behalf."""
        return [" ".join(process.cmdline()) for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        place = str(self.directory)
        try:
            signs = (process.cwd(), *process.cmdline(), process.environ().get("PLANSTREAM_TEST", ""))
        except psutil.Error:
            return False
        return any(sign.startswith(place) for sign in signs) and is_alive(process) and process.pid != self.process.pid


StartRunner = Callable[..., Runner]


@pytest.fixture
def directory(server_folder: Callable[[str], Path]) -> Iterator[Path]:
    """A stack's directory."""
    folder = server_folder("stack")
    yield folder / "run"
    shutil.rmtree(folder)


@pytest.fixture
def start_runner(tmp_path: Path, directory: Path, stand_ins: dict[str, str]) -> Iterator[StartRunner]:
    """`start_runner(PORT=…, …)` starts the runner, always in the same directory."""
    runners: list[Runner] = []

    def start(**environment: str) -> Runner:
        mark = {"PLANSTREAM_TEST": str(directory), "PORT": str(free_port())}
        output = tmp_path / f"output-{len(runners)}"
        runners.append(Runner(directory, output, {**stand_ins, **mark, **environment}))
        return runners[-1]

    yield start
    for runner in runners:
        runner.process.terminate()
        runner.process.wait(_DEADLINE_SECONDS)
