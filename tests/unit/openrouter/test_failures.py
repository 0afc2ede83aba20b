"""Which failure means what, and whether another try can help."""

from typing import Any

import orjson
import pytest

from common.contracts.errors import ErrorCode
from generator.openrouter.failures import MAX_RETRY_AFTER, from_error, from_response, parse_retry_after

ERROR, LIMITED, TIMEOUT, REFUSED = (
    ErrorCode.UPSTREAM_ERROR,
    ErrorCode.UPSTREAM_RATE_LIMITED,
    ErrorCode.UPSTREAM_TIMEOUT,
    ErrorCode.CONTENT_REFUSED,
)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, ERROR, False),
        (401, ERROR, False),
        (402, ERROR, False),
        (403, ERROR, False),
        (404, ERROR, False),
        (408, TIMEOUT, True),
        (412, ERROR, False),
        (413, ERROR, False),
        (422, ERROR, False),
        (429, LIMITED, True),
        (500, ERROR, True),
        (502, ERROR, True),
        (503, ERROR, True),
        (504, TIMEOUT, True),
        (524, TIMEOUT, True),
        (529, ERROR, True),
        (301, ERROR, False),
    ],
)
@pytest.mark.parametrize("html", [True, False])
def test_status(status: int, code: ErrorCode, retryable: bool, html: bool) -> None:
    """A status is judged alike with a JSON error and with an edge's HTML page."""
    body = b"<html>oops</html>" if html else orjson.dumps({"error": {"code": status, "message": "oops"}})
    failure = from_response(status, body)
    assert (failure.code, failure.retryable, failure.status) == (code, retryable, status)
    assert "oops" in failure.detail


@pytest.mark.parametrize(
    ("error_type", "code", "retryable"),
    [
        ("context_length_exceeded", ERROR, False),
        ("max_tokens_exceeded", ERROR, False),
        ("invalid_prompt", ERROR, False),
        ("authentication", ERROR, False),
        ("payment_required", ERROR, False),
        ("permission_denied", ERROR, False),
        ("content_policy_violation", REFUSED, False),
        ("refusal", REFUSED, False),
        ("not_found", ERROR, False),
        ("payload_too_large", ERROR, False),
        ("unprocessable", ERROR, False),
        ("rate_limit_exceeded", LIMITED, True),
        ("server", ERROR, True),
        ("unmapped", ERROR, True),
        ("provider_unavailable", ERROR, True),
        ("provider_overloaded", ERROR, True),
        ("timeout", TIMEOUT, True),
        ("never_heard_of", ERROR, True),
    ],
)
def test_error_type_inside_a_200(error_type: str, code: ErrorCode, retryable: bool) -> None:
    """The error type decides; one we do not know is taken as passing."""
    failure = from_error({"message": "oops", "metadata": {"error_type": error_type}})
    assert (failure.code, failure.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        ({"code": 402, "metadata": {"reason": "in_flight_budget_exhausted"}}, LIMITED, True),
        (
            {
                "code": 402,
                "metadata": {"limit_source": "openrouter_in_flight_budget", "error_type": "payment_required"},
            },
            LIMITED,
            True,
        ),
        ({"code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "a"}}, REFUSED, False),
        ({"code": 403, "metadata": {"patterns": ["p"]}}, REFUSED, False),
        ({"code": 403, "metadata": {"reasons": []}}, ERROR, False),
        ({"code": "server_error"}, ERROR, True),
        ({"code": "rate_limit_exceeded"}, LIMITED, True),
        ({"code": "429"}, LIMITED, True),
        ({"code": True}, ERROR, True),
        ({"code": 7}, ERROR, True),
        ({"code": 400, "metadata": {"provider_name": None, "previous_errors": [{"code": 400}]}}, ERROR, False),
        ({"metadata": "text"}, ERROR, True),
        ({}, ERROR, True),
        ("boom", ERROR, True),
        (["boom"], ERROR, True),
    ],
)
def test_error_value(error: Any, code: ErrorCode, retryable: bool) -> None:
    """Errors of every form seen are judged; in-flight budget passes, moderation does not."""
    failure = from_error(error)
    assert (failure.code, failure.retryable) == (code, retryable)


def test_body_code_over_status() -> None:
    """The error's own code is more exact than the status it came with."""
    assert from_response(502, b'{"error":{"code":429}}').code == LIMITED


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff\xfe", b'{"error":null}', b'{"choices":[]}'])
def test_body_without_error(body: bytes) -> None:
    """A 200 that is neither a completion nor an error is a passing failure."""
    failure = from_response(200, body)
    assert (failure.code, failure.retryable, failure.status) == (ERROR, True, None)


@pytest.mark.parametrize("raw", ["slow down", '{"a":1}', {"a": 1}, None])
def test_raw_words(raw: Any) -> None:
    """The provider's own words reach the log in any form."""
    failure = from_error({"message": "Provider returned error", "code": 429, "metadata": {"raw": raw}})
    assert "Provider returned error" in failure.detail
    assert raw is None or "a" in failure.detail or "slow down" in failure.detail


def test_flagged_input_stays_out() -> None:
    """What a user wrote is not copied into the log by way of moderation."""
    failure = from_error(
        {"code": 403, "message": "m", "metadata": {"reasons": ["x"], "flagged_input": "private words"}}
    )
    assert "private words" not in str(failure)


def test_no_key_in_detail() -> None:
    """A key that upstream echoes never reaches the log, whole or cut by the truncation."""
    message = "bad key sk-or-v1-0123456789abcdef and Bearer abc.def"
    failure = from_error({"message": message})
    assert "0123456789" not in str(failure)
    assert "abc.def" not in str(failure)
    secret = "a-plain-secret"
    for padding in range(480, 500):
        hidden = from_error({"message": "x" * padding + secret + "tail"}).hide(secret)
        assert "a-plai" not in str(hidden)
        assert "a-plai" not in repr(hidden)


def test_detail_is_one_bounded_line() -> None:
    """Upstream cannot write a second log line, nor a long one."""
    failure = from_error({"message": "a\nb" * 5000})
    assert "\n" not in failure.detail
    assert len(failure.detail) <= 500


NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("-1", None),
        ("nan", None),
        ("soon", None),
        ("86400", MAX_RETRY_AFTER),
        ("inf", MAX_RETRY_AFTER),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 08:00:30 -0000", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 9999 08:00:00 GMT", MAX_RETRY_AFTER),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """Retry-After is a number or a date, bounded; nonsense is ignored."""
    assert parse_retry_after(header, NOW) == seconds


def test_retry_after_only_where_it_helps() -> None:
    """A failure that stays has no time to wait for."""
    assert from_response(429, b"{}", retry_after=3.0).retry_after == 3.0
    assert from_response(400, b"{}", retry_after=3.0).retry_after is None
