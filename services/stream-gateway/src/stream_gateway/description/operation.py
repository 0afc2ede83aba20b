"""What is said of one operation of the public API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel

from common.contracts.errors import ErrorCode

# An answer that is no JSON model: nothing, the stream of a plan, the stream of a batch, a WebSocket, or free JSON.
Special = Literal["nothing", "stream", "batch stream", "socket", "json"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or a header."""

    name: str
    place: Literal["query", "header"]
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, as OpenAPI writes it: `/api/plan/plans/{planId}`."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Mapping[int, tuple[str, type[BaseModel] | Special]]
    body: type[BaseModel] | None = None
    errors: tuple[ErrorCode, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    open: bool = False  # nobody has to say who they are


IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    "1 to 255 printable ASCII characters; makes the request safe to repeat for 24 hours",
    {"type": "string", "minLength": 1, "maxLength": 255},
)
LAST_EVENT_ID: Final = (
    Parameter("Last-Event-ID", "header", "the last id received: the stream goes on after it"),
    Parameter("lastEventId", "query", "the same, where headers cannot be set; the header wins"),
)
