"""AG-UI events (docs.ag-ui.com, "Events"): a plan is a run, and what is known of it is the run's state. Pure.

The state is `{planId, status, plan, progress}`. Each connection begins with `RUN_STARTED`, because clients take nothing
before it; a resumed one goes on from the state that its client holds.
"""

from typing import Any

import orjson

from stream_gateway.dialects.lines import data_of, members, written
from stream_gateway.frame import Frame


def encode(frame: Frame) -> bytes:
    """Any frame; a `progress` needs the standard form of its operations."""
    data = data_of(frame)
    match frame.name:
        case "connected":
            return written(frame, {"type": "RUN_STARTED", **_run(data)})
        case "snapshot":
            return written(frame, _state(data))
        case "progress":
            return written(frame, _delta(frame, data))
        case "error":
            return written(frame, _state(data), {"type": "RUN_ERROR", **members(data, "message", "code")})
        case "complete":
            return written(frame, _state(data), _finished(data, "success"))
        case "cancelled":
            return written(frame, _state(data), _finished(data, "cancelled"))
        case _:
            raise ValueError(f"there is no {frame.name} in this dialect")


def _run(data: dict[str, Any]) -> dict[str, Any]:
    return {"threadId": data["planId"], "runId": data["planId"]}


def _finished(data: dict[str, Any], outcome: str) -> dict[str, Any]:
    result = members(data, "status", "usage")
    return {"type": "RUN_FINISHED", **_run(data), "outcome": {"type": outcome}, "result": result}


def _state(data: dict[str, Any]) -> dict[str, Any]:
    state = {"status": "generating", **members(data, "planId", "status", "plan", "progress")}
    return {"type": "STATE_SNAPSHOT", "snapshot": state}


def _delta(frame: Frame, data: dict[str, Any]) -> bytes:
    if frame.patch is None:
        raise ValueError("a viewer of patches gets each progress with its patch")
    progress = orjson.dumps({"op": "replace", "path": "/progress", "value": data["progress"]})
    return b'{"type":"STATE_DELTA","delta":[%b]}' % b",".join((*frame.patch, progress))
