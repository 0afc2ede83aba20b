"""Operations folded into a document: `add` and `replace` of RFC 6902, and `append` for growing text. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any


def fold(document: Any, operations: Iterable[Mapping[str, Any]]) -> Any:
    """Apply them in order and return the document, which is changed in place where it can be.

    Raises:
        ValueError: an operation does not fit: something was missed, or this is not what a server sends.
    """
    for operation in operations:
        try:
            document = _one(document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{operation.get('op')} at {operation.get('path')!r} does not fit") from error
    return document


def _one(document: Any, operation: Mapping[str, Any]) -> Any:
    kind, path, value = operation["op"], operation["path"], operation["value"]
    if path == "":
        return _joined(document, value) if kind == "append" else value
    _, *parents, last = (token.replace("~1", "/").replace("~0", "~") for token in path.split("/"))
    target = document
    for token in parents:
        target = target[int(token)] if isinstance(target, list) else target[token]
    place: Any = last
    if isinstance(target, list):
        place = len(target) if last == "-" else int(last)
        if kind == "add":
            if not 0 <= place <= len(target):
                raise IndexError(place)
            target.insert(place, value)
            return document
    elif kind == "replace" and place not in target:
        raise KeyError(place)
    target[place] = _joined(target[place], value) if kind == "append" else value
    return document


def _joined(held: Any, more: Any) -> str:
    if not (isinstance(held, str) and isinstance(more, str)):
        raise TypeError("append is of text to text")
    return held + more
