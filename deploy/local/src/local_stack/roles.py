"""Each service's own Postgres role, derived from the administrator's address."""

import hashlib
import hmac
from urllib.parse import quote, unquote, urlsplit

SERVICES = ("plan_api", "generator", "stream_gateway")


def service_url(admin_url: str, service: str) -> str:
    """The address of the same database as the service's role, which is called as the service's package.

    The password follows from the administrator's alone, not from the database: roles belong to the whole server, so two
    stacks in two of its databases have to agree.
    """
    parts = urlsplit(admin_url)
    key = unquote(parts.password or parts.username or "")
    password = hmac.new(key.encode(), f"planstream role {service}".encode(), hashlib.sha256).hexdigest()
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(service)}:{password}@{address}").geturl()


def other_database(url: str, database: str) -> str:
    """The same server and user, another database."""
    return urlsplit(url)._replace(path=f"/{quote(database)}").geturl()
