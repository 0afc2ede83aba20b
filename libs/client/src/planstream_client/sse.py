"""Server-Sent Events out of bytes, cut wherever the network cut them (WHATWG HTML, section 9.2.6). Pure."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: its type, its data, and the last id that was said."""

    name: str
    data: str
    id: str


class Decoder:
    """Feed it bytes; it holds no more than the line and the event that are not whole yet."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: float | None = None  # seconds
        self._text = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._name = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The events that are whole now."""
        *lines, self._rest = _LINE_END.split(self._rest + self._text.decode(data))
        for line in lines:
            if line:
                self._field(line)
                continue
            frame = Frame(self._name or "message", "\n".join(self._data), self.last_id) if self._data else None
            self._name, self._data = "", []
            if frame is not None:
                yield frame

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value) / 1000
            case _:
                pass
