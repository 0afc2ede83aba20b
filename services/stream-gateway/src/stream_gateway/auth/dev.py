"""Development: whoever connects is believed, and only this machine can connect."""

from collections.abc import Mapping
from typing import Any

import orjson

from common.ids import parse_uuid
from stream_gateway.auth.identity import Identity, unauthorized
from stream_gateway.loopback import host_of, is_loopback


class DevAuthenticator:
    """Believes what it is told: X-User-Id, else `userId` in the query, else in the JSON body, else the cookie."""

    trusting = True
    advice = "Say who you are: send a UUID as X-User-Id, or as userId in the query or the body."

    def shown(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> str | None:
        """The first that is given counts.

        A page whose own name was made to lead to this machine (DNS rebinding) is of our origin to the browser; the Host
        header still has that name, and a name that anybody can have holds a dot.
        """
        host = host_of(headers.get("host", ""))
        if ("." in host or ":" in host) and not is_loopback(host):
            raise unauthorized("In development the server answers only to this machine: use 127.0.0.1 or localhost.")
        return headers.get("x-user-id") or query.get("userId") or _user_in(body)

    async def verify(self, shown: str) -> Identity:
        """It must be a UUID."""
        user_id = parse_uuid(shown)
        if user_id is None:
            raise unauthorized("The user must be a UUID (X-User-Id, or userId in the query or the body).")
        return Identity(user_id)


def _user_in(body: bytes) -> str | None:
    try:
        document: Any = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None
    given = document.get("userId") if isinstance(document, dict) else None
    return None if given is None else str(given)
