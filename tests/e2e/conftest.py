"""The whole stack for the end-to-end tests: real servers and services, the emulator in OpenRouter's place."""

import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from local_stack import Stack, running_stack
from testkit import OpenStack

# A model that is quicker than the tests' patience. A test scripts anything else with the emulator's control API.
_QUICK = {"EMULATOR_TTFT_SECONDS": "0.05", "EMULATOR_TOKENS_PER_SECOND": "800"}


@pytest.fixture(scope="session")
def open_stack(server_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> OpenStack:
    """A stack of a test's own, for other settings and for faults. Its logs are kept in pytest's folder."""

    @asynccontextmanager
    async def start(env: Mapping[str, str] = {}, *, generators: int = 1, gateways: int = 1) -> AsyncIterator[Stack]:
        directory = server_folder("stack")
        try:
            async with running_stack(directory, {**_QUICK, **env}, generators=generators, gateways=gateways) as stack:
                yield stack
        finally:
            shutil.copytree(directory / "logs", tmp_path_factory.mktemp("stack-logs"), dirs_exist_ok=True)

    return start


@pytest.fixture(scope="session")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """The stack that most tests share, two of each: use a user of your own, and leave it running."""
    async with open_stack(generators=2, gateways=2) as running:
        yield running
