"""Waiting until a process does what it is there for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from local_stack.errors import StackError
from local_stack.processes import POLL_SECONDS, Process

Check = Callable[[], Awaitable[bool]]
START_SECONDS = 60.0
_ANSWER_SECONDS = 2.0


async def wait_until_ready(process: Process, check: Check, seconds: float = START_SECONDS) -> None:
    """Return when `check` holds.

    Raises:
        StackError: the process ended first, or the time is over.
    """
    deadline = time.monotonic() + seconds
    while not await check():
        if not process.running:
            raise StackError(explain_end(process, "before it was ready"))
        if time.monotonic() > deadline:
            raise StackError(f"{process.name} was not ready after {seconds:.0f} s.\n{last_words(process)}")
        await asyncio.sleep(POLL_SECONDS)


def explain_end(process: Process, when: str) -> str:
    """That a process ended, how, and the tail of its log."""
    code = process.exit_code
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return f"{process.name} {how} {when}.\n{last_words(process)}"


def last_words(process: Process) -> str:
    """The tail of a log, indented, under its file's name."""
    tail = process.tail() or "(nothing)"
    return f"{process.log}:\n" + "\n".join(f"    {line}" for line in tail.splitlines())


def answers_ready(base_url: str) -> Check:
    """A check that `/readyz` is answered with 200."""
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or 80

    async def check() -> bool:
        line = await first_line(host, port, _get(parts.netloc, "/readyz"))
        return line.split(b" ")[1:2] == [b"200"]

    return check


def answers_http(host: str, port: int) -> Check:
    """A check that an HTTP server answers, whatever it says."""

    async def check() -> bool:
        return (await first_line(host, port, _get(f"{host}:{port}", "/"))).startswith(b"HTTP/")

    return check


def _get(host: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


async def first_line(host: str, port: int, request: bytes = b"") -> bytes:
    """The first line that a server says; empty when nobody answers in time."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""
