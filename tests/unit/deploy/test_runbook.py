"""The runbook names what there is."""

import re
from pathlib import Path

import pytest
import yaml

import generator.settings
import plan_api.settings
import stream_gateway.settings
from plan_api.admin import main

ROOT = Path(__file__).parents[3]
RUNBOOK = (ROOT / "deploy" / "README.md").read_text()
COMMANDS = "\n".join(re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL))


def test_every_path_exists() -> None:
    """In the text and in the commands."""
    paths = set(re.findall(r"\bdeploy/[\w./-]+[\w]", RUNBOOK)) | {
        f"deploy/kubernetes/{each}" for each in re.findall(r"`((?:components|overlays)/[\w./-]+)`", RUNBOOK)
    }
    assert len(paths) > 10
    assert [each for each in sorted(paths) if not (ROOT / each).exists()] == []


@pytest.mark.parametrize("folder", sorted(set(re.findall(r"apply (?:-n \S+ )?-k (\S+)", COMMANDS))))
def test_what_is_applied_can_be_rendered(folder: str) -> None:
    """Each folder that is applied is one that Kustomize takes."""
    assert (ROOT / folder / "kustomization.yaml").exists()


def test_what_is_named_is_deployed() -> None:
    """Targets of the images, variables of the compose stack, and settings are called what they are called."""
    recipe = (ROOT / "deploy" / "images" / "Dockerfile").read_text()
    (targets,) = re.findall(r"for target in (.*?); do", COMMANDS)
    assert set(targets.split()) < set(re.findall(r"AS (\S+)", recipe))
    models = (generator.settings.Settings, plan_api.settings.Settings, stream_gateway.settings.Settings)
    settings = {name.upper() for model in models for name in model.model_fields}
    example = (ROOT / "deploy" / "compose" / ".env.example").read_text()
    others = {"ADMIN_DATABASE_URL", "PYTHON_IMAGE", "PLAN_JOBS", "PLAN_OUTCOMES", "DROP", "OWNED", "HEALTHCHECK"}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)", RUNBOOK))
    assert named - settings - others - set(re.findall(r"(?m)^(\w+)=", example)) == set()


@pytest.mark.parametrize(
    "line", sorted(set(re.findall(r"(?:planstream-admin|run --rm(?: -T)? admin) ([^`\n)]*--user[^`\n)]*)", RUNBOOK)))
)
def test_what_planstream_admin_is_told_it_understands(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every use of it: with nothing in the environment it gets as far as to say what it misses there."""
    for name in ("DATABASE_URL", "JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE"):
        monkeypatch.delenv(name, raising=False)
    words = line.split(";")[0].replace("<UUID>", "6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac").split()
    assert main(words) == 2
    assert "missing or wrong in the environment" in capsys.readouterr().err


def test_compose_is_told_of_services_that_there_are() -> None:
    """Whatever the runbook runs, stops, scales or looks into."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())
    told = re.findall(r"docker compose (?:run --rm(?: -T)?|exec -T|logs [-\w ]+) ([\w-]+)", RUNBOOK)
    told += [name for names in re.findall(r"docker compose stop (.+)", COMMANDS) for name in names.split()]
    told += [
        name
        for names in re.findall(r"docker compose up -d ([^`\n(]+)", RUNBOOK)
        for name in re.findall(r"([\w-]+)=", names)
    ]
    told += re.findall(r"docker compose rm [-\w ]+ (\w+)$", COMMANDS, re.MULTILINE)
    assert len(told) > 8
    assert set(told) <= set(compose["services"])
    (volume,) = re.findall(r"docker volume rm .*_(\w+)\"", COMMANDS)
    assert volume in compose["volumes"]
