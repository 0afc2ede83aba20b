"""The history of a schema against its files."""

from pathlib import Path

import pytest

from common.migrations import MigrationError, migrate
from local_stack.roles import service_url

SERVICE = "generator"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three migrations."""
    for number in (1, 2, 3):
        (tmp_path / f"000{number}_t.sql").write_text(f"CREATE TABLE {SERVICE}.t{number} (id int)")
    return tmp_path


async def test_files_run_once(database: str, folder: Path) -> None:
    """In order, and not again."""
    url = service_url(database, SERVICE)
    assert await migrate(database, url, SERVICE, folder) == ["0001_t.sql", "0002_t.sql", "0003_t.sql"]
    assert await migrate(database, url, SERVICE, folder) == []


async def test_an_older_release_finds_a_newer_schema_in_order(database: str, folder: Path) -> None:
    """What is newer than all its files was applied by a newer image, which may be rolled back."""
    url = service_url(database, SERVICE)
    await migrate(database, url, SERVICE, folder)
    (folder / "0003_t.sql").unlink()
    assert await migrate(database, url, SERVICE, folder) == []


@pytest.mark.parametrize("change", ["changed", "gone"])
async def test_history_is_not_rewritten(database: str, folder: Path, change: str) -> None:
    """An applied file that is changed, or that is missing among the others, stops the migration with its name."""
    url = service_url(database, SERVICE)
    await migrate(database, url, SERVICE, folder)
    file = folder / "0002_t.sql"
    if change == "changed":
        file.write_text("SELECT 1")
    else:
        file.unlink()
    with pytest.raises(MigrationError, match=r"0002_t\.sql"):
        await migrate(database, url, SERVICE, folder)
