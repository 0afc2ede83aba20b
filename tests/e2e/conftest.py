"""The whole stack for the end-to-end tests: real servers and services, the emulator in OpenRouter's place."""

import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from local_stack import Stack, running_stack
from local_stack.opening import Rewire
from testkit import OpenStack
from testkit.secrecy import SECRET_SETTINGS, passwords_of, require_silence, with_secret_key
from testkit.whole_run import require_clean_logs

# A model that is quicker than the tests' patience. A test scripts anything else with the emulator's control API.
_QUICK = {"EMULATOR_TTFT_SECONDS": "0.05", "EMULATOR_TOKENS_PER_SECOND": "800"}


@pytest.fixture(scope="session")
def open_stack(server_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> OpenStack:
    """A stack of a test's own, for other settings and for faults. Its logs are kept in pytest's folder.

    Its secrets can be told from everything else: none of them, and no stack trace, may be in any log.
    """

    @asynccontextmanager
    async def start(
        env: Mapping[str, str] = {}, *, generators: int = 1, gateways: int = 1, rewire: Rewire | None = None
    ) -> AsyncIterator[Stack]:
        directory = server_folder("stack")
        settings = {**_QUICK, **SECRET_SETTINGS, **env}
        secrets: set[str] = set()
        logs = tmp_path_factory.mktemp("stack-logs")
        try:
            async with running_stack(
                directory, settings, generators=generators, gateways=gateways, rewire=with_secret_key(rewire)
            ) as stack:
                secrets |= passwords_of(stack)
                yield stack
        finally:
            shutil.copytree(directory / "logs", logs, dirs_exist_ok=True)
        require_silence(logs, secrets)

    return start


@pytest.fixture(scope="session")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """The stack that most tests share, two of each: use a user of your own, and leave it running.

    Nothing is broken in it, so that nothing may make it answer with a server's error.
    """
    async with open_stack(generators=2, gateways=2) as running:
        yield running
    require_clean_logs(running.directory, frozenset())
