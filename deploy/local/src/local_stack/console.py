"""What a person sees: plain lines, in colour on a terminal."""

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import TextIO

_GREEN, _RED, _DIM, _BOLD, _RESET = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


class Console:
    """Writes at once, and goes on when nobody reads any more: a closed terminal must not end the stack untidily."""

    def __init__(self, stream: TextIO | None, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour

    def say(self, text: str = "") -> None:
        """A line."""
        self._write(text)

    def done(self, name: str, seconds: float, detail: str = "") -> None:
        """Something that is ready, and how long it took."""
        rest = self._paint(_DIM, f"{seconds:5.1f} s  {detail}".rstrip())
        self._write(f"  {self._paint(_GREEN, 'ready')}  {name:<12}{rest}")

    def strong(self, text: str) -> None:
        """A line that stands out."""
        self._write(self._paint(_BOLD, text))

    def error(self, text: str) -> None:
        """What went wrong; the first line stands out."""
        first, *rest = text.splitlines()
        self._write("\n".join([self._paint(_RED, first), *rest]))

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if self._colour else text

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._stream is not None:
                print(text, file=self._stream, flush=True)


def terminal(environment: Mapping[str, str] = os.environ) -> Console:
    """Standard output, in colour when that is a terminal that wants it (https://no-color.org)."""
    colour = sys.stdout.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a TextIOWrapper, unless replaced
    return Console(sys.stdout, colour=colour)


def silent() -> Console:
    """For tests."""
    return Console(None, colour=False)
