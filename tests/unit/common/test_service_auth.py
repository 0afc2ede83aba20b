"""Who is one of the other services."""

import pytest
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from common.service_auth import require_service

TOKENS = (SecretStr("the-new-token-of-the-services"), SecretStr("the-old-token-of-the-services"))


def _asked_with(*headers: bytes) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [(b"authorization", header) for header in headers]})


@pytest.mark.parametrize("header", [b"Bearer the-new-token-of-the-services", b"bearer the-old-token-of-the-services"])
def test_each_accepted_token_opens(header: bytes) -> None:
    """The scheme's case does not count (RFC 9110 section 11.1)."""
    require_service(_asked_with(header), TOKENS)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"Basic the-new-token-of-the-services"],
        [b"the-new-token-of-the-services"],
        [b"Bearer the-new-token-of-the-service"],
        [b"Bearer the-new-token-of-the-services "],
        [b"Bearer the-new-token-of-the-services,the-old-token-of-the-services"],
        [b"Bearer \xff\xfe\xe9"],
        [b"Bearer x", b"Bearer the-new-token-of-the-services"],
    ],
)
def test_everything_else_is_unauthorized(headers: list[bytes]) -> None:
    """Also bytes that are no text, and a second header behind a bad one; the refusal names no token."""
    with pytest.raises(ApiError) as refused:
        require_service(_asked_with(*headers), TOKENS)
    assert refused.value.code is ErrorCode.UNAUTHORIZED
    assert not any(token.get_secret_value() in refused.value.detail for token in TOKENS)
