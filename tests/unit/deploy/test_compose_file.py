"""The compose file, the edge and the images' recipe, as files: about the services as they are, and without secrets."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import generator.settings
import plan_api.settings
import stream_gateway.settings
from common.settings import ServiceSettings
from stream_gateway.app import SYNCHRONOUS_MARGIN_SECONDS

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
EXAMPLE = (DEPLOY / "compose" / ".env.example").read_text()
EDGE = (DEPLOY / "compose" / "nginx.conf").read_text()
DOCKERFILE = (DEPLOY / "images" / "Dockerfile").read_text()
SETTINGS: dict[str, type[ServiceSettings]] = {
    "plan-api": plan_api.settings.Settings,
    "generator": generator.settings.Settings,
    "stream-gateway": stream_gateway.settings.Settings,
}
CLOSING_SECONDS = 15


def given(name: str) -> dict[str, str]:
    """What a service gets, with the example's values in place of the variables."""
    values = dict(line.split("=", 1) for line in EXAMPLE.splitlines() if "=" in line and not line.startswith("#"))
    pattern = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")

    def fill(text: str) -> str:
        return pattern.sub(lambda match: values.get(match[1], match[2] or ""), text)

    return {key: fill(str(value)) for key, value in COMPOSE["services"][name]["environment"].items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_gets_settings_that_it_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is its own, and it starts on them."""
    environment = given(name)
    assert environment.keys() <= {field.upper() for field in SETTINGS[name].model_fields}
    for key, value in environment.items():
        monkeypatch.setenv(key, value.replace("change-me", "s" * 40))
    settings = SETTINGS[name]()
    urls = f"{getattr(settings, 'plan_api_url', '')} {getattr(settings, 'generator_urls', '')}"
    for host, port in re.findall(r"http://([\w-]+):(\d+)", urls):
        assert SETTINGS[host].model_fields["port"].default == int(port)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_has_its_own_user_everywhere(name: str) -> None:
    """Of Postgres and of NATS; and the time to leave that its drain takes."""
    environment = given(name)
    assert environment["DATABASE_URL"].startswith(f"postgresql://{name.replace('-', '_')}:")
    assert environment["NATS_URL"].startswith(f"nats://{name}:")
    service = COMPOSE["services"][name]
    drain = SETTINGS[name].model_fields["shutdown_seconds"].default
    assert float(service["stop_grace_period"].removesuffix("s")) >= drain + CLOSING_SECONDS


def test_no_container_of_ours_may_write_or_gain_rights() -> None:
    """Read-only, without capabilities; and nothing but the edge is reached from outside."""
    for name, service in COMPOSE["services"].items():
        if name != "postgres":
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
        assert ("ports" in service) == (name == "edge")
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert "inside" not in COMPOSE["services"]["edge"]["networks"]


def test_every_variable_is_in_the_example() -> None:
    """Whoever copies the example has all that is asked for."""
    wanted = set(re.findall(r"\$\{(\w+):\?\}", (DEPLOY / "compose" / "compose.yaml").read_text()))
    assert wanted <= set(re.findall(r"(?m)^(\w+)=", EXAMPLE))


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """Each is new and readable for its owner alone; a second run changes nothing; none is left as in the example."""
    for file in ("secrets.sh", ".env.example"):
        (tmp_path / file).write_bytes((DEPLOY / "compose" / file).read_bytes())
    script = ["sh", str(tmp_path / "secrets.sh")]
    subprocess.run(script, check=True, capture_output=True)
    made = tmp_path / ".env"
    text = made.read_text()
    subprocess.run(script, check=True, capture_output=True)
    assert made.read_text() == text
    assert made.stat().st_mode & 0o777 == 0o600
    secrets = re.findall(r"(?m)^\w+=(s[0-9a-f]{48})$", text)
    assert len(secrets) == len(set(secrets)) == EXAMPLE.count("=change-me") >= 9
    assert "=change-me" not in text


def location(path: str) -> str:
    """A location's block of the edge."""
    match = re.search(rf"location (?:= )?{re.escape(path)} \{{(.*?)\n    \}}", EDGE, re.DOTALL)
    assert match is not None, path
    return match[1]


def test_the_edge_lets_streams_through_as_they_come() -> None:
    """No buffer and no compression, HTTP/1.1, and a patience beyond the heartbeat and beyond the synchronous call."""
    heartbeat = stream_gateway.settings.Settings.model_fields["sse_heartbeat_seconds"].default
    patience = stream_gateway.settings.Settings.model_fields["streaming_timeout"].default / 1000
    for path in ("/api/streaming/", "/api/streaming/ws"):
        block = location(path)
        assert "proxy_buffering off;" in block
        assert float(re.findall(r"proxy_read_timeout (\d+)s;", block)[0]) > 2 * heartbeat
    assert "gzip off;" in location("/api/streaming/")
    assert "Upgrade $http_upgrade" in location("/api/streaming/ws")
    assert "proxy_http_version 1.1;" in EDGE
    assert "event-stream" not in "".join(re.findall(r"gzip_types[^;]*;", EDGE))
    (waits,) = re.findall(r"proxy_read_timeout (\d+)s;", location("/api/plan/generate"))
    assert float(waits) > patience + SYNCHRONOUS_MARGIN_SECONDS


def test_the_recipe_is_for_any_builder() -> None:
    """No syntax that only BuildKit knows; a hash for all that is installed; each service a target, and none is root."""
    assert "--mount" not in DOCKERFILE
    assert "<<" not in DOCKERFILE
    assert "# syntax" not in DOCKERFILE
    assert DOCKERFILE.count("--require-hashes") == DOCKERFILE.count(" install -q") == 3
    for name in (*SETTINGS, "migrations", "openrouter-emulator"):
        block = DOCKERFILE.split(f"FROM runtime AS {name}\n")[1].split("\nFROM ")[0]
        assert 'CMD ["python"' in block
        assert "USER" not in block
        if name in SETTINGS:
            port = SETTINGS[name].model_fields["port"].default
            assert f"ENV PORT={port} ADMIN_PORT=9090\nEXPOSE {port} 9090\n" in block
