"""Our operations as JSON Patch alone (RFC 6902): `append` becomes `replace` with the whole string. Pure."""

from collections.abc import Iterable
from typing import Any

import orjson

from common import fold
from common.contracts.ops import Op, unescape


def fold_and_translate(document: Any, ops: Iterable[Op], prefix: str) -> tuple[Any, tuple[bytes, ...]]:
    """Fold operations into a document, and say the same of a document that has it at the path `prefix`.

    Each is written before the next changes what it put in.

    Raises:
        common.fold.FoldError: as `fold.apply`.
    """
    written = []
    for op in ops:
        if op["op"] != "append":
            written.append(orjson.dumps({**op, "path": prefix + op["path"]}))
            document = fold.apply(document, (op,))
        else:
            document = fold.apply(document, (op,))
            whole = {"op": "replace", "path": prefix + op["path"], "value": _at(document, op["path"])}
            written.append(orjson.dumps(whole))
    return document, tuple(written)


def _at(document: Any, path: str) -> Any:
    for token in path.split("/")[1:]:
        document = document[int(token)] if isinstance(document, list) else document[unescape(token)]
    return document
