"""What the gateway's settings may say about who comes in."""

from typing import Any

import pytest
from pydantic import ValidationError

from stream_gateway.settings import Settings

JWT = {"jwt_issuer": "i", "jwt_audience": "a"}
GOOD = {"jwt_secret": "x" * 32} | JWT


def _settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {"database_url": "postgresql://x", "service_token": "x" * 16}
    return Settings(**(values | changes))


@pytest.mark.parametrize(
    "url", ["https://issuer.test/jwks", "http://127.0.0.1:9/jwks", "http://localhost/x", "http://[::1]/x"]
)
def test_public_keys_come_over_tls_or_from_this_machine(url: str) -> None:
    """In place of a secret."""
    assert _settings(jwt_jwks_url=url, **JWT).jwt_jwks_url == url


@pytest.mark.parametrize(
    "changes",
    [
        {"jwt_jwks_url": "http://issuer.test/jwks"},
        {"jwt_jwks_url": "http://localhost.evil.test/jwks"},
        {"jwt_jwks_url": "file:///etc/passwd"},
        {"jwt_jwks_url": "https://"},
        {"jwt_jwks_url": "https://["},
        {"jwt_jwks_url": "https://issuer.test/jwks", "jwt_secret": "x" * 32},
        {"jwt_secret": "x" * 31},
        {},
    ],
)
def test_keys_that_prove_nothing_are_refused(changes: dict[str, Any]) -> None:
    """Over plain HTTP from elsewhere, two sources at once, a short secret, none."""
    with pytest.raises(ValidationError) as refused:
        _settings(**JWT, **changes)
    assert "JWT_" in str(refused.value)


def test_origins_are_exact_and_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """None by default; a star does not start."""
    assert _settings(**GOOD).allowed_origins == frozenset()
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.test, http://localhost:5173,")
    assert _settings(**GOOD).allowed_origins == {"https://a.test", "http://localhost:5173"}
    monkeypatch.setenv("ALLOWED_ORIGINS", "*")
    with pytest.raises(ValidationError, match="exact origin"):
        _settings(**GOOD)


def test_service_tokens_are_long_and_fit_into_a_header() -> None:
    """The previous one as well: it opens the same doors."""
    for changes in (
        {"service_token": "short"},
        {"service_token": "é" * 16},
        {"service_token": "with a space in the middle"},
        {"service_token_previous": "short"},
    ):
        with pytest.raises(ValidationError):
            _settings(**GOOD | changes)


@pytest.mark.parametrize("urls", [",", " , "])
def test_there_is_a_generator_to_ask(monkeypatch: pytest.MonkeyPatch, urls: str) -> None:
    """Said at the start, not at the first question."""
    monkeypatch.setenv("GENERATOR_URLS", urls)
    with pytest.raises(ValidationError, match="generator_urls"):
        _settings(**GOOD)
    monkeypatch.setenv("GENERATOR_URLS", "http://a:1/, http://b:2")
    assert _settings(**GOOD).generator_urls == ("http://a:1", "http://b:2")
