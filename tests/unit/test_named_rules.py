"""Each of the fourteen rules for the races is held by a test that names it: `Rule 4: ...` begins its docstring.

`Rules 1, 7 and 11: ...` names several. A rule without such a test is one that a later change may switch off unseen.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
RULES = {
    1: "lease and fence",
    2: "acknowledgements",
    3: "a terminal UPDATE that hits no row",
    4: "snapshots",
    5: "attach",
    6: "ends are never lost",
    7: "zombies",
    8: "cancel",
    9: "JetStream lost",
    10: "presence",
    11: "publishing",
    12: "reference count",
    13: "caps",
    14: "delete while running",
}
_NAMED = re.compile(r"Rules? ((?:\d+(?:, | and )?)+):")


def rules_of(docstring: str) -> list[int]:
    """The rules that a docstring names; none when it does not begin with them."""
    named = _NAMED.match(docstring)
    return [int(number) for number in re.findall(r"\d+", named[1])] if named else []


def _docstrings(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


@pytest.fixture(scope="module")
def holders() -> dict[int, list[str]]:
    """Which tests name which rule."""
    found: dict[int, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, docstring in _docstrings(path):
            for rule in rules_of(docstring):
                found.setdefault(rule, []).append(f"{path.relative_to(TESTS)}::{name}")
    return found


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_held(holders: dict[int, list[str]], rule: int) -> None:
    """A rule that no test names fails here."""
    assert rule in holders, (
        f"no test names rule {rule} ({RULES[rule]}): write one that fails without it, and begin its docstring with"
        f' "Rule {rule}: "'
    )


def test_no_other_rule_is_named(holders: dict[int, list[str]]) -> None:
    """A number that is no rule's is a mistake."""
    strangers = {rule: tests for rule, tests in holders.items() if rule not in RULES}
    assert not strangers, f"there are {len(RULES)} rules; these tests name others: {strangers}"


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Rule 4: exactly what was published.", [4]),
        ("Rules 1, 7 and 11: an outage.", [1, 7, 11]),
        ("Rules 6 and 10: asked.", [6, 10]),
        ("The message of rule 4: nothing.", []),
        ("Rule of thumb: nothing.", []),
        ("", []),
    ],
)
def test_how_rules_are_named(docstring: str, expected: list[int]) -> None:
    """Only a docstring that begins with its rules names them."""
    assert rules_of(docstring) == expected
