"""The runbook names what there is."""

import re
from pathlib import Path

import pytest

import generator.settings
import plan_api.settings
import stream_gateway.settings

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
