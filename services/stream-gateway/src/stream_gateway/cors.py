"""Which pages of other origins may read our answers (Fetch standard, CORS protocol). Pure."""

from collections.abc import Collection
from typing import Final

Headers = list[tuple[bytes, bytes]]

_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
# What a client of ours sends beyond the safelisted headers. Cache-Control comes from EventSource polyfills.
_REQUEST_HEADERS: Final = (
    b"Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id, X-User-Id"
)
# What a client needs to read of an answer beyond the safelisted headers.
EXPOSED: Final = ("Allow", "Location", "Retry-After", "WWW-Authenticate", "X-Request-Id")
_MAX_AGE_SECONDS: Final = b"600"
# An answer depends on the origin also where it is refused, or where none was sent.
VARY: Final = (b"vary", b"Origin")
_VARY_PREFLIGHT: Final = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


class Cors:
    """For exact origins; credentials for these alone."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = {origin.encode() for origin in origins}
        self._exposed = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())

    def answer(self, origin: bytes | None) -> Headers:
        """What an answer to a page of this origin carries."""
        return [VARY] if origin not in self._origins else [VARY, *_allowed(origin), self._exposed]

    def preflight(self, origin: bytes) -> Headers | None:
        """What the browser wants to know before the request proper; None: the origin is not allowed."""
        if origin not in self._origins:
            return None
        return [
            _VARY_PREFLIGHT,
            *_allowed(origin),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", _MAX_AGE_SECONDS),
        ]


def _allowed(origin: bytes) -> Headers:
    return [(b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")]
