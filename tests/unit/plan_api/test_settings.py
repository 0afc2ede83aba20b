"""What plan-api is told by its environment."""

import pytest
from pydantic import ValidationError

from plan_api.settings import Settings

NEEDED = {"DATABASE_URL": "postgresql://plan_api:x@127.0.0.1/planstream", "SERVICE_TOKEN": "0123456789abcdef"}


def _load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name in ("PORT", "NATS_URL", "STREAMING_TIMEOUT", "GENERATOR_URLS", "QUOTA_PLANS_PER_MONTH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**NEEDED, **environment}.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the design names."""
    settings = _load(monkeypatch)
    assert (settings.port, settings.quota_plans_per_month, settings.max_running_plans_per_user) == (8081, 30, 20)
    assert (settings.queue_timeout_seconds, settings.streaming_timeout) == (120, 300_000)
    assert settings.synchronous_seconds == 335


def test_generators_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Base URLs, without trailing slashes."""
    settings = _load(monkeypatch, GENERATOR_URLS="http://a:1/, http://b:2", STREAMING_TIMEOUT="1000")
    assert settings.generator_urls == ("http://a:1", "http://b:2")
    assert settings.synchronous_seconds == 36


@pytest.mark.parametrize(("name", "value"), [("GENERATOR_URLS", ","), ("QUOTA_PLANS_PER_MONTH", "-1")])
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """At the start, not at the first request."""
    with pytest.raises(ValidationError):
        _load(monkeypatch, **{name: value})
