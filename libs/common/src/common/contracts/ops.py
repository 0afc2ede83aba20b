"""Operations on the plan document: JSON Patch `add` and `replace`, and `append` for growing strings."""

from typing import Any, Literal

# pydantic reads typing's own TypedDict only from Python 3.12 on.
from typing_extensions import TypedDict


class Add(TypedDict):
    """RFC 6902 section 4.1. At path "" it sets the whole document."""

    op: Literal["add"]
    path: str
    value: Any


class Replace(TypedDict):
    """RFC 6902 section 4.3."""

    op: Literal["replace"]
    path: str
    value: Any


class Append(TypedDict):
    """Ours: `value` is added to the end of the string at `path`."""

    op: Literal["append"]
    path: str
    value: str


Op = Add | Replace | Append


def escape(key: str) -> str:
    """An object key as one reference token of a JSON Pointer (RFC 6901 section 3)."""
    if "~" in key or "/" in key:
        return key.replace("~", "~0").replace("/", "~1")
    return key


def unescape(token: str) -> str:
    """A reference token of a JSON Pointer as an object key (RFC 6901 section 4)."""
    if "~" in token:
        return token.replace("~1", "/").replace("~0", "~")
    return token
