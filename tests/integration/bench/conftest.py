"""The bench's compiled programs."""

from pathlib import Path

import pytest

from planbench.native import Programs, build, compiler


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Source and client, compiled once; without a C compiler there is nothing to test."""
    if compiler() is None:
        pytest.skip("no C compiler: set CC, or install one")
    folder: Path = tmp_path_factory.mktemp("native")
    return build(folder)
