"""The addresses of NATS: refused at the start when they cannot be right, and never a silent end of connecting."""

import asyncio

import pytest
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from common.broker import open_broker
from common.settings import ServiceSettings


def _load(nats_url: str) -> ServiceSettings:
    return ServiceSettings(
        port=1, database_url=SecretStr("x"), service_token=SecretStr("x" * 16), nats_url=SecretStr(nats_url)
    )


@pytest.mark.parametrize("url", ["nats://a:4222", "tls://user:pass@a:4222,tls://[::1]:4223", "wss://a:443", "nats://a"])
def test_good_addresses_stay_as_they_are(url: str) -> None:
    """One or several; nats-py knows the port when none is given."""
    assert _load(url).nats_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url", ["nats://a:port", "nats://:4222", "a:4222", "http://a:4222", "nats://a:4222,", "nats://s3cret@a:99999"]
)
def test_what_cannot_be_an_address_is_refused(url: str) -> None:
    """With a sentence that helps and does not hold the address, which may hold a password."""
    with pytest.raises(ValidationError) as refused:
        _load(url)
    assert "nats://host:4222" in str(refused.value)
    assert "s3cret" not in str(refused.value)


async def test_a_connection_that_cannot_begin_is_logged_and_closed_in_peace() -> None:
    """Nobody awaits the connecting task: it says what is wrong and goes on trying."""
    with capture_logs() as logs:
        async with open_broker(SecretStr("nats://a:port"), "test") as broker, asyncio.timeout(5):
            while not logs:
                await asyncio.sleep(0.001)
            assert not broker.connected
    assert logs[0]["event"] == "nats.connect_failed"
