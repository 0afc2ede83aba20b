"""What is told about NATS beside its address."""

import pytest
from pydantic import ValidationError

from common.settings import NatsOptions, ServiceSettings, faults_of

GIVEN = {"PORT": "8080", "DATABASE_URL": "postgresql://u@h/d", "SERVICE_TOKEN": "t" * 16}


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> ServiceSettings:
    """Settings from an environment."""
    for name, value in {**GIVEN, **environment}.items():
        monkeypatch.setenv(name, value)
    return ServiceSettings()


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and the number of copies; without them one copy and what the system trusts."""
    assert settings(monkeypatch).nats_options == NatsOptions()
    given = {"NATS_URL": "tls://h:4222", "NATS_TLS_CA": "ca", "NATS_TLS_CERT": "c", "NATS_TLS_KEY": "k"}
    found = settings(monkeypatch, **given, NATS_REPLICAS="3").nats_options
    assert found == NatsOptions("ca", "c", "k", 3)


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"NATS_TLS_CA": "ca"}, "tls://"),
        ({"NATS_URL": "tls://h:4222", "NATS_TLS_CERT": "c"}, "NATS_TLS_KEY"),
        ({"NATS_URL": "tls://h:4222,nats://h:4223"}, "begin alike"),
        ({"NATS_REPLICAS": "2"}, "NATS_REPLICAS"),
        ({"NATS_REPLICAS": "many"}, "NATS_REPLICAS"),
    ],
)
def test_half_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], word: str) -> None:
    """With a sentence that names it."""
    with pytest.raises(ValidationError) as caught:
        settings(monkeypatch, **environment)
    assert word in "\n".join(faults_of(caught.value))
