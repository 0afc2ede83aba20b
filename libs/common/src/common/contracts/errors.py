"""Every error code a client can see, with its HTTP status and the sentence that goes with it."""

from enum import StrEnum
from typing import Any, Self

from pydantic import Field

from common.contracts.base import Envelope


class ErrorCode(StrEnum):
    """Stable: clients switch on these."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_RUNNING = "too_many_running"
    TOO_MANY_STREAMS = "too_many_streams"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"
    # How a generation can end; in the synchronous call these become a 502, or 504 for the timeout.
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    CONTENT_REFUSED = "content_refused"
    INVALID_PLAN = "invalid_plan"
    CLIENT_DISCONNECTED = "client_disconnected"
    QUEUE_TIMEOUT = "queue_timeout"
    # In the synchronous call alone: a stream says it with its `cancelled` event.
    CANCELLED = "cancelled"


_STATUS = {
    ErrorCode.INVALID_INPUT: 422,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.QUOTA_EXCEEDED: 402,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.TOO_MANY_RUNNING: 429,
    ErrorCode.TOO_MANY_STREAMS: 429,
    ErrorCode.IDEMPOTENCY_CONFLICT: 409,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UPSTREAM_TIMEOUT: 504,
}

_MESSAGE = {
    ErrorCode.UPSTREAM_RATE_LIMITED: "The language model is receiving too many requests. Try again in a minute.",
    ErrorCode.UPSTREAM_ERROR: "The language model failed while writing the plan. Try again.",
    ErrorCode.UPSTREAM_TIMEOUT: "The language model did not answer in time. Try again.",
    ErrorCode.CONTENT_REFUSED: "The language model declined to write this plan. Change the goals and try again.",
    ErrorCode.INVALID_PLAN: "The language model did not produce a usable plan. Try again.",
    ErrorCode.CLIENT_DISCONNECTED: "Nobody was watching any more, so the plan was stopped.",
    ErrorCode.QUEUE_TIMEOUT: "No worker was free in time. Try again.",
    ErrorCode.CANCELLED: "The plan was cancelled while it was being written.",
    ErrorCode.INTERNAL: "Something went wrong on our side. Try again.",
}

# What a fresh attempt cannot mend.
_NOT_RETRYABLE = frozenset({ErrorCode.CONTENT_REFUSED})


def http_status(code: ErrorCode) -> int:
    """The status of a problem document with this code; a failed generation is 502."""
    return _STATUS.get(code, 502)


def failure_message(code: ErrorCode) -> str:
    """The sentence a viewer reads in an `error` event; never upstream's words."""
    return _MESSAGE.get(code, _MESSAGE[ErrorCode.INTERNAL])


def is_retryable(code: ErrorCode) -> bool:
    """Whether starting the same plan again may succeed."""
    return code not in _NOT_RETRYABLE


class PlanError(Envelope):
    """Why a plan failed, in an `error` event and wherever a plan's state is told."""

    code: ErrorCode
    message: str
    retryable: bool

    @classmethod
    def of(cls, code: ErrorCode) -> Self:
        """The error with its sentence."""
        return cls(code=code, message=failure_message(code), retryable=is_retryable(code))


class Problem(Envelope):
    """A problem document (RFC 9457), `application/problem+json`."""

    type: str = "about:blank"
    title: str
    status: int
    code: ErrorCode
    detail: str
    errors: list[dict[str, Any]] | None = Field(
        default=None, description="for invalid_input: pointer (RFC 6901) and message"
    )
