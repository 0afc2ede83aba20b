"""Who is calling. The decision is pure: headers, query and body in, an identity or a refusal out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import jwt
import orjson
from starlette.requests import Request

from common.contracts.errors import ErrorCode
from common.ids import parse_uuid
from common.problems import ApiError
from stream_gateway.settings import Settings

LEEWAY_SECONDS = 10
# A token may say 10^400; as seconds, this is for ever.
FAR_AWAY = 2**53
MAX_TOKEN_CHARS = 8192


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, and until when (seconds since the epoch) the proof holds; None: no end."""

    user_id: UUID
    expires_at: float | None = None


class Authenticator(Protocol):
    """One way to tell who is calling."""

    def identify(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> Identity:
        """The caller.

        Raises:
            ApiError: unauthorized.
        """


class DevAuthenticator:
    """Believes what it is told: X-User-Id, else `userId` in the query, else in the JSON body."""

    def identify(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> Identity:
        """The first that is given counts; it must be a UUID."""
        given = headers.get("x-user-id") or query.get("userId") or _user_in(body)
        if given is None:
            raise _unauthorized("Say who you are: send a UUID as X-User-Id, or as userId in the query or the body.")
        user_id = parse_uuid(given)
        if user_id is None:
            raise _unauthorized("The user must be a UUID (X-User-Id, or userId in the query or the body).")
        return Identity(user_id)


class JwtAuthenticator:
    """Bearer tokens (RFC 6750) that are JWTs signed with HS256; `sub` is the user."""

    def __init__(self, secret: str, issuer: str, audience: str) -> None:
        self._secret = secret
        self._issuer = issuer
        self._audience = audience

    def identify(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> Identity:
        """Only the Authorization header counts: a token in a query would end up in logs."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("Send a bearer token: Authorization: Bearer <JWT>.")
        claims = self._claims(token.strip())
        user_id = parse_uuid(claims["sub"])
        if user_id is None:
            raise _unauthorized("The token's sub must be the user's UUID.")
        return Identity(user_id, float(min(claims["exp"], FAR_AWAY)) + LEEWAY_SECONDS)

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARS:
            raise _unauthorized("The token is too long.")
        try:
            return jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise _unauthorized("The token has expired.") from error
        except jwt.PyJWTError as error:
            raise _unauthorized("The token is not valid here.") from error


def authenticator(settings: Settings) -> Authenticator:
    """The way that the settings name."""
    if settings.auth_mode == "dev":
        return DevAuthenticator()
    assert settings.jwt_secret is not None
    assert settings.jwt_issuer is not None
    assert settings.jwt_audience is not None
    return JwtAuthenticator(settings.jwt_secret.get_secret_value(), settings.jwt_issuer, settings.jwt_audience)


def identify(ways: Authenticator, request: Request, body: bytes = b"") -> Identity:
    """Who sent a request.

    Raises:
        ApiError: unauthorized.
    """
    return ways.identify(request.headers, request.query_params, body)


def _user_in(body: bytes) -> Any:
    try:
        document = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None
    return document.get("userId") if isinstance(document, dict) else None


def _unauthorized(detail: str) -> ApiError:
    return ApiError(ErrorCode.UNAUTHORIZED, detail)
