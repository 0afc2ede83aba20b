"""What stands in the request's line and headers."""

from uuid import UUID

import pytest
from starlette.requests import Request

from common.contracts.internal import SyncRequest
from common.problems import ApiError
from plan_api.endpoints.guard import idempotency_key

USER = UUID(int=7)
BODY = SyncRequest(preference_id=UUID(int=1))


def _request(key: str | None, path: str = "/service/generate") -> Request:
    headers = [] if key is None else [(b"idempotency-key", key.encode("latin-1"))]
    return Request({"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""})


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
