"""The UI message stream of Vercel's AI SDK, version 1 (ai-sdk.dev, "Stream Protocol"). Pure.

The plan is a data part, `data-plan`, whose id is the planId: a later part with the same id takes the place of the
earlier, so each holds the whole document. A message is one plan.
"""

from typing import Any, Final

from stream_gateway.dialects.lines import data_of, members, written
from stream_gateway.frame import Frame

HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}
_DONE: Final = b"[DONE]"


def encode(frame: Frame) -> bytes:
    """A frame other than `progress`: viewers of this dialect get whole documents."""
    data = data_of(frame)
    match frame.name:
        case "connected":
            return written(frame, {"type": "start", "messageId": data["planId"]})
        case "snapshot":
            return written(frame, _plan(data))
        case "complete":
            return written(frame, _plan(data), {"type": "finish", "finishReason": "stop"}, _DONE)
        case "cancelled":
            return written(frame, _plan(data), {"type": "abort", "reason": "cancelled"}, _DONE)
        case "error":
            return written(frame, _plan(data), {"type": "error", "errorText": data["message"]}, _DONE)
        case _:
            raise ValueError(f"a viewer of whole documents gets no {frame.name}")


def _plan(data: dict[str, Any]) -> dict[str, Any]:
    shown = {"status": "generating", **members(data, "planId", "status", "plan", "progress", "usage")}
    if "code" in data:
        shown["error"] = members(data, "code", "message", "retryable")
    return {"type": "data-plan", "id": data["planId"], "data": shown}
