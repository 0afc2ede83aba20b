"""The formats in which the events route speaks, by the name that `?format=` gives them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from stream_gateway.dialects import ag_ui, ai_sdk
from stream_gateway.frame import Frame, as_sse
from stream_gateway.viewer import Mode

HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}


@dataclass(frozen=True, slots=True)
class Format:
    """How frames are written, and what a viewer is given to be written."""

    encode: Callable[[Frame], bytes]
    mode: Mode = "deltas"
    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)


PLAIN: Final = Format(as_sse)
FORMATS: Final[Mapping[str, Format]] = {
    "ai-sdk": Format(ai_sdk.encode, "snapshots", {**HEADERS, **ai_sdk.HEADERS}),
    "ag-ui": Format(ag_ui.encode, "patches"),
}


def format_of(query: Mapping[str, str]) -> Format:
    """What a request asks for: `format`, and `mode=snapshot` for whole documents.

    Raises:
        ApiError: invalid_input, for a format that we do not have.
    """
    name = query.get("format", "")
    how = PLAIN if not name else FORMATS.get(name)
    if how is None:
        fault = {"pointer": "/format", "message": f"must be one of {', '.join(FORMATS)}"}
        raise ApiError(ErrorCode.INVALID_INPUT, f"format: {fault['message']}", errors=[fault])
    return replace(how, mode="snapshots") if query.get("mode") == "snapshot" else how
