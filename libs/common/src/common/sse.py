"""Server-Sent Events, as WHATWG HTML section 9.2 defines them: an encoder and an incremental decoder. Pure."""

import codecs
from dataclasses import dataclass
from typing import Final

HEARTBEAT: Final = b": keep-alive\n\n"


def encode(event: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event; `data` is JSON on one line, so it holds no CR or LF of its own.

    Raises:
        ValueError: CR, LF or NUL in a field would end it and let the rest be read as another field.
    """
    head = f"event: {event}\n" if event_id is None else f"id: {event_id}\nevent: {event}\n"
    if head.count("\n") != (1 if event_id is None else 2) or "\r" in head or "\0" in head:
        raise ValueError("an event name or id must not contain CR, LF or NUL")
    if b"\n" in data or b"\r" in data:
        raise ValueError("data must be one line")
    return b"%bdata: %b\n\n" % (head.encode(), data)


def retry(milliseconds: int) -> bytes:
    """The field that tells an EventSource how long to wait before it reconnects; goes before an event's other fields.

    A block of its own is legal, but some clients report it as an event without data.
    """
    return b"retry: %d\n" % milliseconds


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """A dispatched event."""

    event: str
    data: str
    id: str


class LineTooLongError(ValueError):
    """A line or an event's data grew past the bound."""


class Decoder:
    """Bytes in any split → events. Comments and unknown fields are skipped; an unfinished event at EOF is dropped."""

    def __init__(self, max_event_bytes: int = 4 * 1024 * 1024) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._max = max_event_bytes
        self._pending: list[str] = []
        self._pending_size = 0
        self._data: list[str] = []
        self._data_size = 0
        self._event = ""
        self._id = ""
        self._at_start = True
        self._after_cr = False
        self.comments = 0

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Decode the next bytes and return the events they complete.

        Raises:
            LineTooLongError: the bound on one event's size is passed.
        """
        text = self._utf8.decode(chunk)
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        if not text:
            return []
        if "\r" in text:
            self._after_cr = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return self._lines(text)

    def _lines(self, text: str) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        first, *rest = text.split("\n")
        if not rest:
            self._hold(first)
            return events
        if self._pending:
            self._pending.append(first)
            first = "".join(self._pending)
            self._pending.clear()
            self._pending_size = 0
        for line in (first, *rest[:-1]):
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        self._hold(rest[-1])
        return events

    def _hold(self, text: str) -> None:
        if text:
            self._pending.append(text)
            self._pending_size += len(text)
            self._check(self._pending_size)

    def _check(self, size: int) -> None:
        if size > self._max:
            raise LineTooLongError(f"an event is larger than {self._max} characters")

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._data_size += len(value)
                self._check(self._data_size)
            case "":
                self.comments += 1
            case "event":
                self._event = value
            case "id":
                if "\0" not in value:
                    self._id = value
            case _:
                pass

    def _dispatch(self) -> ServerSentEvent | None:
        if not self._data:
            self._event = ""
            return None
        event = ServerSentEvent(self._event or "message", "\n".join(self._data), self._id)
        self._data.clear()
        self._data_size = 0
        self._event = ""
        return event
