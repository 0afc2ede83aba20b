"""Operations that do not fit are refused, and always with the same error."""

from typing import Any

import pytest

from common.contracts.ops import Op
from common.fold import FoldError, apply

APPEND: Any = "append"


@pytest.mark.parametrize(
    ("document", "path", "value"),
    [
        (None, "", "x"),
        ({}, "", "x"),
        ("text", "", 5),
        ({"goals": ["a"]}, "/goals", "bc"),
        ({"goals": ["a"]}, "/goals", ["b"]),
        ([["a"]], "/0", ["b"]),
        ({"week": 1}, "/week", 2),
        ({"focus": "a"}, "/more", "b"),
    ],
    ids=["null", "object", "number", "list", "list to list", "list in list", "sum", "missing"],
)
def test_append_is_of_text_to_text(document: Any, path: str, value: Any) -> None:
    """A list is not extended, numbers are not added up, and the root is no exception."""
    op: Op = {"op": APPEND, "path": path, "value": value}
    with pytest.raises(FoldError):
        apply(document, [op])


def test_text_grows_wherever_it_stands() -> None:
    """At the root, in an object and in a list."""
    assert apply("a", [{"op": "append", "path": "", "value": "b"}]) == "ab"
    assert apply({"x": ["a"]}, [{"op": "append", "path": "/x/0", "value": "b"}]) == {"x": ["ab"]}
