"""From service to service: a whole plan in one call, with the service token, from plan-api itself."""

from typing import Any

import httpx

from planstream_client import calls
from planstream_client.errors import UnreachableError


def generate_for(
    plan_api_url: str, service_token: str, user_id: object, preference_id: object, *, key: str | None = None
) -> dict[str, Any]:
    """`{planId, status, plan, usage}`. Needs neither the gateway nor NATS. With the same `key` it may be repeated.

    Raises:
        RefusedError: the code says why, also of a plan that failed.
        UnreachableError: nobody answered.
    """
    headers = {**calls.identity(None, service_token), **calls.keyed(key)}
    body = calls.wish(preference_id, user_id)
    try:
        response = httpx.post(
            f"{plan_api_url}/service/generate", json=body, headers=headers, timeout=calls.WHOLE_PLAN_SECONDS
        )
    except httpx.HTTPError as error:
        raise UnreachableError(f"POST /service/generate: {error!r}") from error
    found: dict[str, Any] = calls.answer(response)
    return found
