"""Fold operations into a document. Pure: the gateway's state, the owner's tests and the clients share the law."""

from collections.abc import Iterable
from typing import Any

from common.contracts.ops import Op, unescape


class FoldError(ValueError):
    """An operation does not fit the document it is applied to."""


def apply(document: Any, ops: Iterable[Op]) -> Any:
    """Apply `ops` in order and return the document; it is changed in place where it can be.

    Folding starts from None (RFC 6902 semantics for `add` and `replace`, and our `append`).

    Raises:
        FoldError: a path does not exist, or `append` is not of text to text.
    """
    for op in ops:
        document = _apply_one(document, op)
    return document


def _apply_one(document: Any, op: Op) -> Any:
    kind, path, value = op["op"], op["path"], op["value"]
    try:
        if path == "":
            return _appended(document, value) if kind == "append" else value
        _, *parents, last = path.split("/")
        target = document
        for token in parents:
            target = target[int(token)] if isinstance(target, list) else target[unescape(token)]
        if isinstance(target, list):
            _apply_to_list(target, kind, last, value)
        else:
            _apply_to_dict(target, kind, unescape(last), value)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise FoldError(f"cannot {kind} at {path!r}") from error
    return document


def _appended(held: Any, more: Any) -> str:
    # `+` would also extend a list.
    if not (isinstance(held, str) and isinstance(more, str)):
        raise TypeError("append is of text to text")
    return held + more


def _apply_to_list(target: list[Any], kind: str, token: str, value: Any) -> None:
    index = len(target) if token == "-" else int(token)
    if kind == "add":
        if not 0 <= index <= len(target):
            raise IndexError(index)
        target.insert(index, value)
    elif kind == "append":
        target[index] = _appended(target[index], value)
    elif kind == "replace":
        target[index] = value
    else:
        raise ValueError(kind)


def _apply_to_dict(target: dict[str, Any], kind: str, key: str, value: Any) -> None:
    if kind == "add":
        target[key] = value
    elif kind == "append":
        target[key] = _appended(target[key], value)
    elif kind == "replace":
        if key not in target:
            raise KeyError(key)
        target[key] = value
    else:
        raise ValueError(kind)
