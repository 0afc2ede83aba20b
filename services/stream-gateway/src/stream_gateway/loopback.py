"""Which names stand for this machine alone. Pure."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host name or address never leaves the machine. Browsers take `*.localhost` as such, too."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def host_of(authority: str) -> str:
    """The host in a Host header, without port and brackets; empty for one that cannot be read."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""
