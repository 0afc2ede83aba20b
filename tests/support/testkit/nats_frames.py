"""The client's half of the NATS protocol, taken apart so that single publications can be lost on the way."""

from collections.abc import Callable

# From a subject and a payload (with the headers of an HPUB in front) to whether the server gets it.
Keep = Callable[[bytes, bytes], bool]

_PUBLICATIONS = (b"PUB", b"HPUB")


class PublicationFilter:
    """Feed it what the client sends; it gives back what the server is to get (docs.nats.io, client protocol)."""

    def __init__(self, keep: Keep) -> None:
        self.lost = 0
        self._keep = keep
        self._buffer = b""

    def feed(self, data: bytes) -> bytes:
        """Whole frames only; the rest waits for more."""
        self._buffer += data
        out = []
        while (frame := self._next()) is not None:
            line, _, payload = frame.partition(b"\r\n")
            words = line.split()
            if words and words[0] in _PUBLICATIONS and not self._keep(words[1], payload[:-2]):
                self.lost += 1
            else:
                out.append(frame)
        return b"".join(out)

    def _next(self) -> bytes | None:
        line, end, _ = self._buffer.partition(b"\r\n")
        if not end:
            return None
        words = line.split()
        size = len(line) + 2
        if words and words[0] in _PUBLICATIONS:
            size += int(words[-1]) + 2
        if len(self._buffer) < size:
            return None
        frame, self._buffer = self._buffer[:size], self._buffer[size:]
        return frame
