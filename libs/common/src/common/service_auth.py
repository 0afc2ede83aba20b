"""The bearer token between the services."""

import hmac
from collections.abc import Sequence

from pydantic import SecretStr
from starlette.requests import HTTPConnection

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from common.settings import ServiceSettings


def accepted_tokens(settings: ServiceSettings) -> tuple[SecretStr, ...]:
    """The current token, and the previous one while a change is rolled out."""
    previous = settings.service_token_previous
    return (settings.service_token,) if previous is None else (settings.service_token, previous)


def require_service(connection: HTTPConnection, tokens: Sequence[SecretStr]) -> None:
    """Let only the other services in; compared in constant time.

    Raises:
        ApiError: unauthorized.
    """
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    matches = [hmac.compare_digest(given.encode(), token.get_secret_value().encode()) for token in tokens]
    if scheme.lower() != "bearer" or not any(matches):
        raise ApiError(ErrorCode.UNAUTHORIZED, "This endpoint needs the service token as a bearer token.")
