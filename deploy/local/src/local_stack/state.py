"""The files of a stack's directory that say what runs: the lock, `processes.json` and `stack.json`."""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from local_stack.errors import StackError
from local_stack.processes import Process, end_orphans, is_alive, kill

_END_SECONDS = 5.0
# create_time() is the kernel's count of ticks on a boot time that is only roughly known.
_SAME_START_SECONDS = 1.5


def make_directory(directory: Path) -> Path:
    """A stack's directory; others may pass through, for PostgreSQL's own user, but not look around."""
    directory = directory.resolve()
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    (directory / "logs").mkdir(exist_ok=True)
    return directory


def clear_logs(directory: Path) -> None:
    """Remove the logs of the run before: a narrower one has fewer processes, and would leave the others' lying."""
    for log in (directory / "logs").glob("*.log"):
        log.unlink()


def write_json(path: Path, value: object) -> None:
    """Write a file whole or not at all, readable for its owner alone."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(0o600)
    new.write_text(json.dumps(value, indent=2) + "\n")
    new.replace(path)


@contextlib.contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, which the system lets go of however the holder ends.

    Raises:
        StackError: another runner has it.
    """
    path = directory / "lock"
    # Opened for reading: the file may be another user's, of an earlier run.
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(_runs_already(directory)) from None
        write_json(directory / "runner.json", {"pid": os.getpid()})
        try:
            yield
        finally:
            (directory / "runner.json").unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def runner_pid(directory: Path) -> int | None:
    """Who holds the lock; None when nobody does."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(directory / "runner.json").get("pid")
    else:
        return None
    finally:
        os.close(descriptor)


class Ledger:
    """The processes that run, on disk, so that the next runner can end what a killed one left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}

    def note(self, process: Process) -> None:
        """Remember a process that has just been started."""
        if process.pid is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid).create_time()
            command = list(process.command.arguments)
            self._entries[process.name] = {"pid": process.pid, "started": started, "command": command}
        write_json(self._path, self._entries)

    def clear(self) -> None:
        """Forget all of them."""
        self._path.unlink(missing_ok=True)

    async def end_leftovers(self) -> list[str]:
        """End what an earlier run left, when it is verifiably the same process, and name it."""
        found = {name: process for name, entry in _read(self._path).items() if (process := _same_process(entry))}
        for name, process in found.items():
            kill(process, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        await end_orphans(list(found.values()), _END_SECONDS)
        self.clear()
        return list(found)


def _same_process(entry: dict[str, Any]) -> psutil.Process | None:
    """The process that was noted, unless its id belongs to another one now."""
    try:
        process = psutil.Process(entry["pid"])
        words = process.cmdline()
        started = process.create_time()
    except (psutil.NoSuchProcess, psutil.AccessDenied, KeyError):
        return None
    command = entry["command"]
    same = abs(started - entry["started"]) < _SAME_START_SECONDS and words[-len(command) :] == command
    return process if same and is_alive(process) else None


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _runs_already(directory: Path) -> str:
    pid = _read(directory / "runner.json").get("pid", "unknown")
    page = _read(directory / "stack.json").get("gateway")
    where = f" at {page}/" if page else " (it is still starting, or stopping)"
    return f"A stack already runs in {directory} (process {pid}){where}. End that one first: make stop."
