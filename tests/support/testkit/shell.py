"""Commands of a document, as a reader pastes them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path


async def pasted(scripts: list[str], folder: Path, environment: Mapping[str, str], seconds: float = 50) -> str:
    """Run them in one bash, which stops at the first failure; answers with what they printed.

    Raises:
        AssertionError: one failed, with what was said.
    """
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", "\n".join(scripts)),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(shell.communicate(), seconds)
    assert shell.returncode == 0, f"{errors.decode()}\n{output.decode()}"
    return output.decode()
