"""One event as viewers get it: encoded at most once in each format, however many take it. Pure."""

from collections.abc import Callable
from typing import Any, TypeVar

from common import sse
from stream_gateway.cursor import Cursor

Encoded = TypeVar("Encoded", bytes, str)


class Frame:
    """An event's name, its JSON on one line, and its place; `at` is None for `connected`, which has none."""

    __slots__ = ("_encoded", "at", "data", "name", "patch", "size")

    def __init__(
        self, name: str, data: bytes, at: Cursor | None = None, patch: tuple[bytes, ...] | None = None
    ) -> None:
        self.name = name
        self.data = data
        self.at = at
        self.patch = patch  # the operations in RFC 6902 alone, when somebody who watches wants them
        self.size = len(data) + (sum(map(len, patch)) if patch else 0)  # what it costs to hold it, about, in bytes
        self._encoded: dict[Callable[[Frame], Any], Any] = {}

    def encoded(self, encode: Callable[["Frame"], Encoded]) -> Encoded:
        """In the format that `encode` writes; whoever asks again is handed the same."""
        made: Encoded | None = self._encoded.get(encode)
        if made is None:
            made = self._encoded[encode] = encode(self)
        return made


def as_sse(frame: Frame) -> bytes:
    """Server-Sent Events, as the protocol has them."""
    return sse.encode(frame.name, frame.data, None if frame.at is None else str(frame.at))


def as_text(frame: Frame) -> str:
    """A WebSocket message: the same members behind `event` and `id`."""
    place = "" if frame.at is None else f'"id":"{frame.at}",'
    return f'{{"event":"{frame.name}",{place}{frame.data[1:].decode()}'
