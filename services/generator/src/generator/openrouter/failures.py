"""How upstream's failures map to ours: which code a viewer sees, and whether another try can help. Pure.

Source: OpenRouter's error pages (error types, in-flight budget, moderation) and recorded errors.
"""

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from common.contracts.errors import ErrorCode

MAX_RETRY_AFTER: Final = 600.0
_MAX_DETAIL: Final = 500
_REDACTED: Final = "[redacted]"
_SECRET = re.compile(r"\bsk-[\w-]{6,}|(?<=Bearer )\S+", re.IGNORECASE)

_RATE_LIMITED: Final = (ErrorCode.UPSTREAM_RATE_LIMITED, True)
_TIMEOUT: Final = (ErrorCode.UPSTREAM_TIMEOUT, True)
_TRANSIENT: Final = (ErrorCode.UPSTREAM_ERROR, True)
_PERMANENT: Final = (ErrorCode.UPSTREAM_ERROR, False)
_REFUSED: Final = (ErrorCode.CONTENT_REFUSED, False)

_BY_TYPE: Final = {
    "rate_limit_exceeded": _RATE_LIMITED,
    "timeout": _TIMEOUT,
    **dict.fromkeys(("server", "server_error", "unmapped", "provider_unavailable", "provider_overloaded"), _TRANSIENT),
    **dict.fromkeys(("content_policy_violation", "refusal"), _REFUSED),
    **dict.fromkeys(
        ("context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long"), _PERMANENT
    ),
    **dict.fromkeys(("invalid_request", "invalid_prompt", "authentication", "payment_required"), _PERMANENT),
    **dict.fromkeys(
        ("permission_denied", "not_found", "precondition_failed", "payload_too_large", "unprocessable"), _PERMANENT
    ),
}
_BY_STATUS: Final = {408: _TIMEOUT, 504: _TIMEOUT, 522: _TIMEOUT, 524: _TIMEOUT, 429: _RATE_LIMITED}


class UpstreamError(Exception):
    """A call that failed.

    Attributes:
        code: what a viewer is told.
        retryable: whether the same call may succeed later.
        retry_after: seconds upstream asked us to wait, bounded, or None.
        status: the HTTP status, or the numeric code of an error inside a 200.
        detail: upstream's words for the log, truncated, without the key; never for a client.
        after_content: content was received before, so another try is a new, separately billed generation.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        retryable: bool,
        status: int | None = None,
        retry_after: float | None = None,
        after_content: bool = False,
    ) -> None:
        self.code = code
        self.detail = clean(detail)
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after
        self.after_content = after_content
        super().__init__(code, self.detail)

    def __str__(self) -> str:
        """For the log."""
        return f"{self.code} (status {self.status}): {self.detail}"

    def hide(self, secret: str) -> "UpstreamError":
        """Take a secret out of the detail, should upstream have echoed it."""
        if secret:
            self.detail = self.detail.replace(secret, _REDACTED)
            # Truncation may have cut it in two.
            for length in range(len(secret) - 1, 3, -1):
                self.detail = self.detail.removesuffix(secret[:length])
            self.args = (self.code, self.detail)
        return self


def clean(text: str) -> str:
    """Upstream's words on one line, bounded, without anything that looks like a key."""
    line = " ".join(text[: 4 * _MAX_DETAIL].split())
    return _SECRET.sub(_REDACTED, line)[:_MAX_DETAIL]


def from_error(
    error: Any, *, status: int | None = None, retry_after: float | None = None, after_content: bool = False
) -> UpstreamError:
    """Judge an `error` value, from an HTTP error's body or from inside a 200.

    Args:
        error: an object with `code`, `message` and `metadata`, each of which may be missing; or plain text.
        status: the HTTP status of an error response; None inside a 200.
        retry_after: seconds from the header.
        after_content: whether content came before it.
    """
    fields = error if isinstance(error, dict) else {"message": error}
    metadata = fields.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    number = _number(fields.get("code")) or status
    code, retryable = _verdict(fields, metadata, number)
    return UpstreamError(
        code,
        _detail(fields, metadata),
        retryable=retryable,
        status=number,
        retry_after=retry_after if retryable else None,
        after_content=after_content,
    )


def from_response(status: int, body: bytes, retry_after: float | None = None) -> UpstreamError:
    """Judge a whole response that is not a completion: JSON if it is, else (an edge's HTML page) by its status."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if not error:
        error = {"message": f"not a completion: {body[:400].decode(errors='replace')}"}
    return from_error(error, status=None if status == 200 else status, retry_after=retry_after)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait, from a `Retry-After` header (RFC 9110 section 10.2.3): a number or an HTTP date.

    Args:
        value: the header, or None.
        now: seconds since the epoch.
    """
    if value is None:
        return None
    value = value.strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    if math.isnan(seconds) or seconds < 0:
        return None
    return min(seconds, MAX_RETRY_AFTER)


def _verdict(fields: dict[str, Any], metadata: dict[str, Any], number: int | None) -> tuple[ErrorCode, bool]:
    if (
        metadata.get("limit_source") == "openrouter_in_flight_budget"
        or metadata.get("reason") == "in_flight_budget_exhausted"
    ):
        return _RATE_LIMITED  # a 402 that passes when other calls of the same account end
    if number in {400, 403} and any(metadata.get(key) for key in ("reasons", "flagged_input", "patterns")):
        return _REFUSED
    for name in (metadata.get("error_type"), fields.get("code")):
        if isinstance(name, str) and name in _BY_TYPE:
            return _BY_TYPE[name]
    return _by_status(number)


def _by_status(number: int | None) -> tuple[ErrorCode, bool]:
    """An unknown error inside a 200 is taken as passing: it happened after the request was accepted."""
    if number is None or number < 300 or number >= 500:
        return _BY_STATUS.get(number or 0, _TRANSIENT)
    return _BY_STATUS.get(number, _PERMANENT)


def _number(code: Any) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _detail(fields: dict[str, Any], metadata: dict[str, Any]) -> str:
    """Message, kind, provider and the provider's own words; never the flagged input."""
    words = [
        fields.get("message"),
        fields.get("code"),
        metadata.get("error_type"),
        metadata.get("provider_name"),
        metadata.get("raw"),
    ]
    return " | ".join(str(word) for word in words if word) or "no message"
