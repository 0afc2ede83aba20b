"""Bearer tokens (RFC 6750) that are JWTs (RFC 7519)."""

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

import jwt

from common.ids import parse_uuid
from stream_gateway.auth.identity import Identity, unauthorized
from stream_gateway.auth.key_set import VerificationKey

LEEWAY_SECONDS = 10
# A token may say 10^400; as seconds, this is for ever.
FAR_AWAY = 2**53
MAX_TOKEN_CHARS = 8192
# RFC 7515 section 7.1. Decoders of base64 may skip over what is none; `/api/session` would write that into a header.
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
# What a decoder may raise beside its own errors, at numbers and structures that no issuer writes.
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


class Keys(Protocol):
    """Where the key for a token comes from."""

    async def key_for(self, token: str) -> VerificationKey | None:
        """The key that the token names, or None.

        Raises:
            jwt.PyJWTError: the token's header cannot be read.
            ApiError: unavailable, when the keys cannot be had now.
        """


class SharedSecret:
    """One key for all tokens, which the issuer signs with as well (HS256)."""

    def __init__(self, secret: str) -> None:
        self._key = VerificationKey("HS256", secret)

    async def key_for(self, token: str) -> VerificationKey | None:
        """Always the same."""
        return self._key


class JwtAuthenticator:
    """`sub` is the user; signature, iss, aud, exp, nbf and iat are checked."""

    trusting = False
    advice = "Send a bearer token: Authorization: Bearer <JWT>, or the cookie of POST /api/session."

    def __init__(self, keys: Keys, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def shown(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> str | None:
        """Only the Authorization header counts: a token in a query would end up in logs."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    async def verify(self, shown: str) -> Identity:
        """One signature check, at most, for whoever is not known yet."""
        if len(shown) > MAX_TOKEN_CHARS:
            raise unauthorized("The token is too long.")
        if not _COMPACT.fullmatch(shown):
            raise unauthorized("The token is not a JWT: three parts of base64url, with dots between.")
        try:
            key = await self._keys.key_for(shown)
            claims = None if key is None else self._claims(shown, key)
            expires_at = 0 if claims is None else int(claims["exp"])
        except jwt.ExpiredSignatureError as error:
            raise unauthorized("The token has expired.") from error
        except _UNREADABLE as error:
            raise unauthorized("The token is not valid here.") from error
        if claims is None:
            raise unauthorized("The token is not valid here: its key is not the issuer's.")
        user_id = parse_uuid(claims["sub"])
        if user_id is None:
            raise unauthorized("The token's sub must be the user's UUID.")
        return Identity(user_id, float(min(expires_at, FAR_AWAY)) + LEEWAY_SECONDS)

    def _claims(self, token: str, key: VerificationKey) -> dict[str, Any]:
        return jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
