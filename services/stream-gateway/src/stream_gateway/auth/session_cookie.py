"""The cookie of `/api/session`: its names, its attributes, its age. Pure."""

from collections.abc import Mapping
from typing import Final

# RFC 6265bis: such a cookie is Secure, has no Domain and the path `/`, so no other host can have set it.
SECURE_NAME: Final = "__Host-planstream"
PLAIN_NAME: Final = "planstream"
# Browsers drop, without a word, a cookie whose name and value are longer together.
MAX_CHARS: Final = 4096
# RFC 6265bis section 5.6.2: no cookie is kept longer.
_MAX_AGE: Final = 400 * 24 * 3600
_ATTRIBUTES: Final = "Path=/; HttpOnly; SameSite=Strict"


class SessionCookie:
    """For one gateway; `loopback`: it listens on this machine alone, so a cookie without TLS is possible."""

    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback

    def read(self, cookies: Mapping[str, str]) -> str | None:
        """What the request's cookie holds."""
        return cookies.get(SECURE_NAME) or (cookies.get(PLAIN_NAME) if self._loopback else None) or None

    def fits(self, value: str) -> bool:
        """Whether browsers would keep it."""
        return len(SECURE_NAME) + len(value) <= MAX_CHARS

    def written(self, value: str, seconds: float | None, *, plain: bool) -> str:
        """The Set-Cookie header; `seconds` until it ends, None: with the browser's session.

        `plain`: the page was loaded from this machine without TLS. It counts only where the gateway listens there, too.
        """
        age = "" if seconds is None else f"; Max-Age={max(1, min(int(seconds), _MAX_AGE))}"
        if plain and self._loopback:
            return f"{PLAIN_NAME}={value}; {_ATTRIBUTES}{age}"
        return f"{SECURE_NAME}={value}; {_ATTRIBUTES}; Secure{age}"

    def cleared(self) -> list[str]:
        """The Set-Cookie headers that take it away."""
        secure = f"{SECURE_NAME}=; {_ATTRIBUTES}; Secure; Max-Age=0"
        return [secure, f"{PLAIN_NAME}=; {_ATTRIBUTES}; Max-Age=0"] if self._loopback else [secure]
