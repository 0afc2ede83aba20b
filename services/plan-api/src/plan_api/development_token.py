"""A token as the issuer of a development stack would give one: a JWT (RFC 7519) signed with the shared secret."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from uuid import UUID

import orjson


def development_token(user_id: UUID, secret: str, issuer: str, audience: str, now: datetime, life: timedelta) -> str:
    """Compact JWS (RFC 7515 section 3.1) with HS256; `sub` is the user, and it ends after `life`.

    Written out, because the service itself reads no tokens and needs no library for them.
    """
    claims = {
        "sub": str(user_id),
        "iss": issuer,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int((now + life).timestamp()),
    }
    signed = b".".join(_base64url(orjson.dumps(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return b".".join((signed, _base64url(signature))).decode()


def _base64url(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")
