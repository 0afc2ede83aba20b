"""What tests of every kind share."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

# Imported before anything fails: pytest's plugin would otherwise do it in the middle of its report, where CPython 3.11
# can run into its parser's recursion count.
from hypothesis import settings

from testkit import whole_run

settings.register_profile("planstream", deadline=None)
settings.load_profile("planstream")

# The default draws tracebacks with all their variables, which takes seconds in which the loop stands still.
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

_ROOM_BYTES = 4 * 1024**3


def pytest_configure(config: pytest.Config) -> None:
    """Read all that the tests and their services say."""
    config.pluginmanager.register(whole_run)


def _memory() -> Path | None:
    """A file system in memory with room, where a new database takes a tenth of the time; None for the usual place."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    return memory if usable else None


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Callable[[str], Path]]:
    """`server_folder("name")` makes a folder for real servers; all are removed after the last test.

    Not below pytest's own folder: for root PostgreSQL runs as another user, and each start of pytest shuts that folder
    to others, also to the servers of a test run that is under way.
    """
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(Path(tempfile.mkdtemp(prefix=f"planstream-{name}-", dir=_memory())))
        return made[-1]

    yield make
    try:
        for folder in made:
            whole_run.require_clean_logs(folder)
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
