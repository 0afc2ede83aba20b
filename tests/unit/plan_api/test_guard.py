"""What stands in the request's line and headers."""

from uuid import UUID

import pytest
from starlette.requests import Request

from common.contracts.internal import SyncRequest
from common.problems import ApiError
from plan_api.endpoints.guard import idempotency_key, parse_uuid

USER = UUID(int=7)
BODY = SyncRequest(preference_id=UUID(int=1))


def _request(key: str | None, path: str = "/service/generate") -> Request:
    headers = [] if key is None else [(b"idempotency-key", key.encode("latin-1"))]
    return Request({"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""})


@pytest.mark.parametrize(
    "text",
    ["", "x", "{00000000-0000-0000-0000-000000000001}", "00000000000000000000000000000001", "urn:uuid:" + str(USER)],
)
def test_only_the_usual_form_is_a_uuid(text: str) -> None:
    """Other spellings of the same id would be other keys elsewhere."""
    assert parse_uuid(text) is None


def test_a_uuid_in_capitals_is_one() -> None:
    """RFC 9562: input is case-insensitive."""
    assert parse_uuid("ABCDEF00-0000-4000-8000-000000000000") == UUID("abcdef00-0000-4000-8000-000000000000")


def test_no_key_is_no_key() -> None:
    """The header is optional."""
    assert idempotency_key(_request(None), USER, BODY) is None


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\tb"])
def test_an_unusable_key_is_refused(key: str) -> None:
    """It would not mean the same to everybody on the way."""
    with pytest.raises(ApiError):
        idempotency_key(_request(key), USER, BODY)


def test_a_key_is_bound_to_user_route_and_body() -> None:
    """Any of them makes another key, or another hash."""
    first = idempotency_key(_request("k"), USER, BODY)
    same = idempotency_key(_request("k"), USER, SyncRequest(preference_id=UUID(int=1)))
    other_body = idempotency_key(_request("k"), USER, SyncRequest(preference_id=UUID(int=2)))
    other_route = idempotency_key(_request("k", "/api/plan/generate"), USER, BODY)
    assert first == same
    assert first is not None
    assert other_body is not None
    assert (first.key, first.body_hash == other_body.body_hash) == ("k", False)
    assert first != other_route
