"""docs/integration.md: every example is run as it stands, against the real stack, from a directory with a `.venv`."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from local_stack import Stack
from planstream_client.command import main as command

pytestmark = pytest.mark.full

GUIDE = (Path(__file__).parents[2] / "docs" / "integration.md").read_text()
RUN_AN_EXAMPLE = ".venv/bin/python example.py"
ADDRESS = "http://127.0.0.1:8080"
SECONDS = 60


def _examples(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return found


BLOCKING, AWAITED, SERVICE = _examples("python")
(SHELL,) = _examples("sh")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a newcomer stands: the virtual environment is there, and nothing of it is in the PATH."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def _path_of_a_newcomer() -> str:
    given = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(each for each in given if not (Path(each) / "planstream").exists())


async def _run(folder: Path, script: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=folder,
        env={"PATH": _path_of_a_newcomer(), "HOME": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def _python(stack: Stack, folder: Path, example: str) -> str:
    (folder / "example.py").write_text(example.replace(ADDRESS, stack.gateway))
    assert f"`{RUN_AN_EXAMPLE}`" in GUIDE
    return await _run(folder, RUN_AN_EXAMPLE)


async def test_blocking(stack: Stack, folder: Path) -> None:
    """From `connected` to a summary."""
    said = (await _python(stack, folder, BLOCKING)).splitlines()
    assert said[0].startswith("connected 0")
    assert said[-2] == "complete 100.0"
    assert said[-1].startswith("completed ")
    assert "half marathon" in said[-1]


async def test_awaited(stack: Stack, folder: Path) -> None:
    """Completed, and one less is left."""
    assert (await _python(stack, folder, AWAITED)).startswith("completed ")


async def test_from_service_to_service(stack: Stack, folder: Path) -> None:
    """With what `make run` writes down."""
    (folder / ".run").mkdir()
    addresses = stack.addresses
    told = {"gateway": stack.gateway, "planApi": addresses.plan_api, "serviceToken": addresses.service_token}
    (folder / ".run" / "stack.json").write_text(json.dumps(told))
    assert await _python(stack, folder, SERVICE) == "completed 4\n"


async def test_in_a_terminal(stack: Stack, folder: Path) -> None:
    """Each command, one after the other, as somebody new."""
    user = re.search(r"PLANSTREAM_USER=([0-9a-f-]{36})", SHELL)
    assert user
    script = SHELL.replace(ADDRESS, stack.gateway).replace(user[1], str(uuid4()))
    out = await _run(folder, script)
    assert "Week 4: " in out
    assert "of 30 left" in out
    assert "ok  proxy: " in out
    assert json.loads((folder / "events.jsonl").read_text().splitlines()[-1])["event"] == "complete"


@pytest.mark.parametrize("code", ["DONE", "FAILED", "USAGE", "STOPPED", "REFUSED", "UNREACHABLE", "INTERRUPTED"])
def test_the_exit_codes_are_the_commands(code: str) -> None:
    """Each stands in the table."""
    module = sys.modules[command.__module__]
    assert f"| {getattr(module, code)} |" in GUIDE
