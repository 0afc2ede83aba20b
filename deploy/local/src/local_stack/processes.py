"""One child process: its log, how it is told to end, and that it ends."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02
_KILL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that a command runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and how it is ended: each signal in turn, waiting so many seconds after it, then SIGKILL."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    ending: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 8.0),)
    when_parent_dies: signal.Signals = signal.SIGKILL
    account: Account | None = None


class Hurry:
    """Whether everything must end at once: set by the second Ctrl-C."""

    def __init__(self) -> None:
        self.now = False


class Process:
    """A command that can be started, ended and started again; the log of one run is one file.

    It is a session of its own, so that a terminal's Ctrl-C reaches only the runner, which ends things in order.
    """

    def __init__(self, command: Command, log: Path, hurry: Hurry | None = None) -> None:
        self.command = command
        self.log = log
        self.wanted = False
        self._hurry = hurry or Hurry()
        self._child: subprocess.Popen[bytes] | None = None
        self._started_before = False
        self._log_start = 0

    @property
    def name(self) -> str:
        """What the command is called."""
        return self.command.name

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self.running and self._child is not None else None

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: negative for a signal; None while it runs or before its first start."""
        return None if self._child is None else self._child.poll()

    def start(self, stdin: int | IO[bytes] = subprocess.DEVNULL) -> None:
        """Start it; the log is begun anew at the first start and goes on at later ones."""
        if self.running:
            raise RuntimeError(f"{self.name} is running")
        account = self.command.account
        user, group = (str(account.uid), str(account.gid)) if account else ("-", "-")
        launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(self.command.when_parent_dies))]
        if not self._started_before:
            self.log.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                [*launch, user, group, *self.command.arguments],
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.command.environment),
                start_new_session=True,
            )
        self._started_before = True
        self.wanted = True

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self._child is not None:
            self._child.send_signal(number)

    async def wait(self, seconds: float, unless: Callable[[], bool] = lambda: False) -> bool:
        """Wait for its end; False when it still runs after so many seconds, or as soon as `unless` says so."""
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() >= deadline or unless():
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def stop(self, number: signal.Signals | None = None, seconds: float | None = None) -> None:
        """End it and everything it started; returns when it is gone. A frozen process is woken to hear of it."""
        self.wanted = False
        ending = self.command.ending
        if number is not None:
            ending = ((number, seconds if seconds is not None else ending[0][1]),)
        offspring = self._offspring()
        for each, patience in ending:
            self.send(each)
            self.send(signal.SIGCONT)
            if await self.wait(patience, unless=lambda: self._hurry.now):
                break
        await self._kill_group()
        await end_orphans(offspring)

    async def kill(self) -> None:
        """SIGKILL, as a crash would be; returns when it is gone."""
        self.wanted = False
        self.send(signal.SIGKILL)
        await self.wait(10)

    def tail(self, lines: int = 20) -> str:
        """The last lines that it has logged since it was last started."""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - 64 * 1024))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _offspring(self) -> list[psutil.Process]:
        """Its own children. PostgreSQL's are each a session of their own, so no signal to the group reaches them."""
        if self.pid is None:
            return []
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            return []

    async def _kill_group(self) -> None:
        if self._child is None:
            return
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # Nobody is left in the group; macOS says EPERM when only a zombie is.
            return
        await self.wait(10)


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it in spite of being cancelled meanwhile: a closing that is left half done leaves a process running."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    task.result()


async def end_orphans(processes: list[psutil.Process], patience: float = 1.0) -> None:
    """Give them some seconds to notice, then kill them. psutil compares start times, so a reused id is safe."""
    deadline = time.monotonic() + patience
    while alive := [process for process in processes if is_alive(process)]:
        late = time.monotonic() - deadline
        if late > _KILL_SECONDS:
            return
        if late > 0:
            for process in alive:
                kill(process)
        await asyncio.sleep(POLL_SECONDS)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: neither gone nor a zombie that nobody has waited for yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(process: psutil.Process, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process that may have ended meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
