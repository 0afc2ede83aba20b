"""Errors before commitment: status, headers, body (fact sheet §4). Pure."""

from dataclasses import dataclass
from typing import Any

import orjson

from openrouter_emulator.behaviours import HttpError

EDGE_HTML = (
    '<!DOCTYPE html>\n<html lang="en-US">\n<head><title>openrouter.ai | 524: A timeout occurred</title></head>\n'
    "<body><h1>A timeout occurred <span>Error code 524</span></h1>"
    "<p>The origin web server timed out responding to this request.</p></body>\n</html>\n"
)

_RECORDED: dict[int, tuple[str, dict[str, Any] | None]] = {
    400: ("Provider returned error", {"provider_name": None, "previous_errors": []}),
    401: ("Missing Authentication header", None),
    402: (
        "This request requires more credits, or fewer max_tokens. You requested up to 4000 tokens, "
        "but can only afford 2734.",
        None,
    ),
    403: ("Key limit exceeded", {"error_type": "permission_denied"}),
    404: ("No endpoints found that can handle the requested parameters.", None),
    408: ("Operation timed out. Please try again later.", None),
    413: ("Request payload too large", None),
    422: ("Invalid argument", None),
    429: (
        "Provider returned error",
        {
            "raw": "openai/gpt-4.1-mini is temporarily rate-limited upstream. Please retry shortly.",
            "provider_name": "OpenAI",
            "limit_source": "upstream_provider_shared_pool",
            "remedy_hint": "Retry shortly, or add your own key.",
        },
    ),
    500: ("Internal Server Error", {"error_type": "server"}),
    502: ("Provider returned error", {"error_type": "provider_unavailable", "provider_name": "OpenAI"}),
    503: ("No instances available", {"error_type": "provider_overloaded"}),
    504: ("Provider timed out", {"error_type": "timeout"}),
    529: ("Provider overloaded", {"error_type": "provider_overloaded", "provider_name": "OpenAI"}),
}

_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "moderation": (
        "The input was flagged by moderation.",
        {
            "reasons": ["violence"],
            "flagged_input": "first…last",
            "provider_name": "OpenAI",
            "model_slug": "openai/gpt-4o",
            "error_type": "content_policy_violation",
        },
    ),
    "in_flight_budget": (
        "The budget of requests in flight is used up.",
        {
            "reason": "in_flight_budget_exhausted",
            "limit_source": "openrouter_in_flight_budget",
            "remedy_hint": "Wait for running requests to end.",
        },
    ),
    "own_rate_limit": ("Rate limit exceeded: free-models-per-min. ", {"error_type": "rate_limit_exceeded"}),
    "context_length": (
        "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens.",
        {"provider_name": None, "error_type": "context_length_exceeded"},
    ),
}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def refusal_answer(status: int, message: str) -> HttpAnswer:
    """The error of a request that breaks a rule."""
    return _json_answer(status, {"error": {"message": message, "code": status}}, {})


def error_answer(error: HttpError) -> HttpAnswer:
    """The response that a behaviour asks for."""
    headers = {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0"} if error.variant == "own_rate_limit" else {}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    headers |= {name.lower(): value for name, value in error.headers.items()}
    if error.body is not None or error.status == 524:
        text = EDGE_HTML if error.body is None else error.body
        content_type = error.content_type or ("text/html; charset=UTF-8" if error.body is None else "application/json")
        return _answer(error.status, text.encode(), content_type, headers)
    message, metadata = _VARIANTS.get(error.variant) or _RECORDED.get(error.status, ("Provider returned error", None))
    metadata = metadata if error.metadata is None else error.metadata
    member: dict[str, Any] = {"message": error.message or message, "code": error.status}
    if metadata is not None:
        member["metadata"] = metadata
    document: dict[str, Any] = {"error": member}
    if error.status in (402, 403, 404, 429):
        document["user_id"] = "user_emulator"
    return _json_answer(error.status, document, headers, error.content_type)


def _json_answer(
    status: int, document: dict[str, Any], headers: dict[str, str], content_type: str | None = None
) -> HttpAnswer:
    return _answer(status, orjson.dumps(document), content_type or "application/json", headers)


def _answer(status: int, body: bytes, content_type: str, headers: dict[str, str]) -> HttpAnswer:
    named = {"content-type": content_type, "content-length": str(len(body))} | headers
    return HttpAnswer(
        status, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()], body
    )
