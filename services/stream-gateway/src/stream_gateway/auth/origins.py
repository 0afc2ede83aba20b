"""From which page a request comes, as the browser says it (Fetch standard: Origin, Sec-Fetch-Site). Pure."""

import re
from collections.abc import Collection
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from stream_gateway.loopback import host_of, is_loopback

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}


class Source(Enum):
    """Where a request comes from."""

    OURS = "our own page, or one of an allowed origin"
    FOREIGN = "a page of another origin"
    UNSAID = "no browser, or one that does not say"


def source_of(origins: list[str], site: str | None, host: str | None, allowed: Collection[str]) -> Source:
    """Judge by the Origin headers, Sec-Fetch-Site and Host; a page cannot set any of the three.

    Several Origin headers are somebody's trick. Where Sec-Fetch-Site is missing (an older browser, a WebSocket), a page
    is our own when its origin is the host that was asked, over TLS or on this machine.
    """
    if len(origins) > 1:
        return Source.FOREIGN
    if site == "same-origin" or (origins and (origins[0] in allowed or _is_host(origins[0], host))):
        return Source.OURS
    if origins or site not in (None, "none"):
        return Source.FOREIGN
    return Source.UNSAID


def is_plain_loopback(origin: str) -> bool:
    """Whether a page was loaded from this machine without TLS, where some browsers keep no `Secure` cookie."""
    return origin.startswith("http://") and is_loopback(host_of(origin.removeprefix("http://")))


def exact_origin(origin: str) -> str:
    """The origin, when it is written as a browser writes it.

    Raises:
        ValueError: it says how to write it.
    """
    scheme = urlsplit(origin).scheme
    if not _ORIGIN.fullmatch(origin) or origin.endswith(_DEFAULT_PORT.get(scheme, "/")):
        raise ValueError(
            f"{origin[:100]!r} is no exact origin: write scheme://host or scheme://host:port, in lower case,"
            " without a path, a final slash, a star, or the scheme's default port"
        )
    return origin


def _is_host(origin: str, host: str | None) -> bool:
    if not host:
        return False
    return origin == f"https://{host.lower()}" or (origin == f"http://{host.lower()}" and is_plain_loopback(origin))
