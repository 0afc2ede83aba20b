"""The table in docs/faults.md: every fault that is tested has its row, and every row meets its bound."""

import ast
import re
from pathlib import Path

import pytest

from testkit.fault_table import Row, read_docs, table, write_docs
from testkit.history import INVARIANTS

ROOT = Path(__file__).parents[2]
SHOWN = read_docs(ROOT / "docs" / "faults.md")
ROW = Row(
    "a crash",
    7,
    test="test_crash[hard]",
    checked=dict.fromkeys(INVARIANTS, 30),
    witness="it died",
    measured="takeover",
    recovery=8.0,
    bound=15.0,
    met=True,
)


def faults() -> set[str]:
    """The tests that have a stack to break."""
    return {
        node.name
        for path in (ROOT / "tests" / "faults").glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_") and _takes_arena(node)
    }


def _takes_arena(test: ast.AsyncFunctionDef) -> bool:
    return any(argument.arg == "arena" for argument in test.args.args)


def test_every_fault_has_a_row() -> None:
    """A fault cannot be added, renamed or removed and the table forgotten."""
    assert {re.sub(r"\[.*\]|`", "", row["test"]) for row in SHOWN} == faults()


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: row["fault"])
def test_every_row_holds(row: dict[str, str]) -> None:
    """All six invariants were checked on some plan, the fault bit, and the bound was met."""
    counts = dict(checked.split(":") for checked in row["plans checked"].split())
    assert set(counts) == set(INVARIANTS)
    assert min(map(int, counts.values())) > 0
    assert row["how it bit"]
    assert row["met"] == "yes"
    if row["bound"] != "-":
        assert float(row["took"].split()[0]) <= float(row["bound"].split()[0])


def test_table_in_a_document(tmp_path: Path) -> None:
    """The table is put between its marks, in the place of the one before, and read back as it was written."""
    document = tmp_path / "faults.md"
    document.write_text("Before.\n\n" + (ROOT / "docs" / "faults.md").read_text() + "After.\n")
    write_docs([ROW, ROW], document)
    write_docs([ROW], document)
    text = document.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    assert text.count(table([ROW])) == 1
    (row,) = read_docs(document)
    assert (row["test"], row["took"], row["bound"], row["met"]) == ("`test_crash[hard]`", "8.00 s", "15 s", "yes")
