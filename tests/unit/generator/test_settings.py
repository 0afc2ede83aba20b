"""What the environment may not ask for."""

import pytest
from pydantic import SecretStr, ValidationError

from generator.settings import Settings

BOUND = 512 * 1024


def _settings(max_output_chars: int) -> Settings:
    return Settings(
        database_url=SecretStr("postgresql://x"),
        service_token=SecretStr("x" * 16),
        openrouter_api_key=SecretStr("sk-test"),
        max_output_chars=max_output_chars,
    )


def test_output_is_bounded() -> None:
    """Rule 11: an answer has at most 512 Ki characters, whatever the settings say."""
    assert _settings(BOUND).max_output_chars == BOUND
    with pytest.raises(ValidationError, match="max_output_chars"):
        _settings(BOUND + 1)
