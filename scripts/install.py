"""Make `.venv`: the locked dependencies by hash, then this repository's own packages, editable.

Runs on the standard library alone, with whatever Python is there: `python3 scripts/install.py`. Safe to be interrupted
and to be run twice at the same time: a mark tells of an install that was not finished, and the next one starts afresh.
"""

from __future__ import annotations  # an older Python must come as far as the sentence about its age

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements-dev.lock"
PYTHON = VENV / "bin" / "python"
DONE = VENV / ".installed"
UNFINISHED = VENV / ".unfinished"
OLDEST = (3, 11)


def main() -> int:
    """Install what is missing; the return value is the exit code."""
    if sys.version_info < OLDEST:
        say(f"Python 3.11 or newer is needed, and {sys.executable} is {_version()}. Name one: PYTHON=python3.12 make …")
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        with LOCK.open() as lock:
            _wait_for(lock)
            _install()
    except KeyboardInterrupt:
        say("\nInterrupted; the next make begins anew.")
        return 130
    except subprocess.CalledProcessError as error:
        say(f"The installation failed: {' '.join(map(str, error.cmd[:5]))} … ended with exit code {error.returncode}.")
        return 1
    return 0


def _install() -> None:
    files = sorted(
        file for folder in ("libs", "services", "deploy") for file in ROOT.glob(f"{folder}/*/pyproject.toml")
    )
    wanted = _fingerprint([LOCK, *files])
    if not PYTHON.exists() or UNFINISHED.exists() or _first_line(DONE) not in {"", _version()}:
        shutil.rmtree(VENV, ignore_errors=True)
    if DONE.exists() and DONE.read_text() == wanted:
        os.utime(DONE)
        return
    if not VENV.exists():
        say(f"Making .venv with Python {_version()} …")
        VENV.mkdir()
        UNFINISHED.touch()
        _make_environment()
    UNFINISHED.touch()
    say("Installing the locked dependencies (about a minute the first time) …")
    _pip("--require-hashes", "--requirement", str(LOCK))
    _pip("--no-deps", "--no-build-isolation", *(word for file in files for word in ("--editable", str(file.parent))))
    DONE.write_text(wanted)
    UNFINISHED.unlink()


def _make_environment() -> None:
    try:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError:
        say("Python's venv module is not complete here. On Debian and Ubuntu: apt-get install python3-venv")
        raise


def _pip(*arguments: str) -> None:
    options = ("--quiet", "--quiet", "--disable-pip-version-check", "--no-input")
    subprocess.run([str(PYTHON), "-m", "pip", "install", *options, *arguments], check=True, stdin=subprocess.DEVNULL)


def _wait_for(lock: IO[str]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Waiting for another installation in this folder …")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _fingerprint(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return f"{_version()}\n{digest.hexdigest()}\n"


def _first_line(file: Path) -> str:
    return file.read_text().partition("\n")[0] if file.exists() else ""


def _version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def say(text: str) -> None:
    """A line for the person at the terminal, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
