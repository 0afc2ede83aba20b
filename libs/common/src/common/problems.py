"""Errors before a stream starts: problem documents (RFC 9457) with a stable code."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from common.contracts.errors import ErrorCode, Problem, http_status
from common.contracts.ops import escape

_log = structlog.get_logger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"


class ApiError(Exception):
    """An answer other than success: code, a sentence that says what to do, and headers that help."""

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        retry_after: int | None = None,
        errors: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.errors = errors


def problem_response(error: ApiError) -> Response:
    """Render an error as `application/problem+json`."""
    status = http_status(error.code)
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, code=error.code, detail=error.detail, errors=error.errors
    )
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    body = problem.model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, status, headers, media_type=PROBLEM_MEDIA_TYPE)


# What pydantic says less plainly. A pattern is never shown: a field that has one brings a sentence of its own.
_SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "is not a field that is known here",
    "string_type": "must be text",
    "string_too_short": "is too short; the least is {min_length} characters",
    "string_too_long": "is too long; the most is {max_length} characters",
    "string_pattern_mismatch": "does not have the form that is expected here",
    "list_type": "must be a list",
    "too_short": "has too few entries; the least is {min_length}",
    "too_long": "has too many entries; the most is {max_length}",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
}


def invalid_input(error: ValidationError) -> ApiError:
    """What pydantic found: where, as a JSON Pointer (RFC 6901), and a sentence.

    Without the values: they may be private, and they may be large.
    """
    found = [(_place(item), _sentence(item)) for item in error.errors(include_url=False, include_input=False)[:20]]
    place, message = found[0]
    errors = [
        {"pointer": "".join(f"/{escape(part)}" for part in place), "message": message} for place, message in found
    ]
    return ApiError(ErrorCode.INVALID_INPUT, f"{'.'.join(place) or 'body'}: {message}", errors=errors)


def _place(item: ErrorDetails) -> list[str]:
    """The names that lead to the fault; pydantic marks a key of a mapping by one more."""
    names = [str(part)[:100] for part in item["loc"]]
    return names[:-1] if names[-1:] == ["[key]"] else names


def _sentence(item: ErrorDetails) -> str:
    context = item.get("ctx", {})
    if item["type"] == "value_error":  # a validator of ours
        return str(context["error"])[:300]
    sentence = _SENTENCES.get(item["type"])
    return item["msg"][:300] if sentence is None else sentence.format_map(context)[:300]


_CODE_OF_STATUS = {
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.PAYLOAD_TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    503: ErrorCode.UNAVAILABLE,
}


async def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem_response(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, ErrorCode.INVALID_INPUT)
    response = problem_response(ApiError(code, f"{request.method} {request.url.path[:200]}: {error.detail}"))
    response.headers.update(error.headers or {})
    return response


async def _on_crash(request: Request, error: Exception) -> Response:
    _log.error("request.crashed", method=request.method, path=request.url.path, exc_info=error)
    return problem_response(ApiError(ErrorCode.INTERNAL, "Something went wrong on our side. Try again."))


EXCEPTION_HANDLERS: Mapping[Any, Callable[[Request, Exception], Any]] = {
    ApiError: _on_api_error,
    HTTPException: _on_http_exception,
    Exception: _on_crash,
}
