"""Node, and packages from npm: what web pages use, as clients in tests."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# Where Node is. Who sets it wants these tests: without a program there, or without the packages, they fail.
GIVEN = os.environ.get("NODE", "")
NODE = GIVEN or shutil.which("node")

INSTALL_SECONDS = 150
RUN_SECONDS = 30

needs_node = pytest.mark.skipif(
    NODE is None, reason="needs Node 20 with npm: apt-get install nodejs npm, or NODE=/path/to/node"
)


def packages_in(folder: Path, sources: Path) -> Path:
    """A folder with the packages of `sources`/package.json, fetched once; the test is left out when that fails."""
    fault = _install(folder, (sources / "package.json").read_bytes())
    if fault and GIVEN:
        pytest.fail(f"NODE={GIVEN} asks for these tests, and {fault}")
    if fault:
        pytest.skip(fault)
    return folder


def _install(folder: Path, wanted: bytes) -> str:
    """What went wrong."""
    stamp = folder / "installed.json"
    if stamp.exists() and stamp.read_bytes() == wanted:
        return ""
    npm = shutil.which("npm", path=f"{Path(NODE or '').parent}:{os.environ.get('PATH', '')}")
    if npm is None:
        return "there is no npm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_bytes(wanted)
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=INSTALL_SECONDS, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"npm install failed: {error} {getattr(error, 'stderr', None) or ''}"[:1000]
    stamp.write_bytes(wanted)
    return ""


async def run_script(packages: Path, script: Path, *arguments: str) -> dict[str, Any]:
    """Run a script with these packages; the JSON object that it printed."""
    shutil.copy(script, packages / script.name)  # imports are looked up from where a script lies
    command, pipe = (str(NODE), script.name, *arguments), asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=packages, stdout=pipe, stderr=pipe)
    try:
        out, errors = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    told: dict[str, Any] = json.loads(out)
    return told
