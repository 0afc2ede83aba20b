"""Server-Sent Events without names: JSON objects that say what they are in a member `type`. Pure."""

from typing import Any

import orjson

from stream_gateway.frame import Frame


def data_of(frame: Frame) -> dict[str, Any]:
    """What a frame says."""
    data: dict[str, Any] = orjson.loads(frame.data)
    return data


def members(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those of the named members that are there."""
    return {name: data[name] for name in names if name in data}


def written(frame: Frame, *parts: dict[str, Any] | bytes) -> bytes:
    """The parts of one frame, of which the last carries its id: who is cut off before it gets all of them again."""
    lines = [b"data: %b\n\n" % (part if isinstance(part, bytes) else orjson.dumps(part)) for part in parts]
    if frame.at is not None:
        lines[-1] = b"id: %b\n%b" % (str(frame.at).encode(), lines[-1])
    return b"".join(lines)
