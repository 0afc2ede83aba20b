"""The requests, and what their answers mean. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from planstream_client.errors import RefusedError

# A heartbeat comes every 15 s: a stream that says nothing for so long is cut, though nobody has said so.
SILENCE_SECONDS = 45.0
ANSWER_SECONDS = 30.0
# The synchronous call: more than a gateway waits itself.
WHOLE_PLAN_SECONDS = 360.0
STREAM = {"Accept": "text/event-stream"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = ANSWER_SECONDS


def identity(user_id: object | None, token: str | None) -> dict[str, str]:
    """The headers that say who asks: a bearer token, or in development a user's id."""
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    return {} if user_id is None else {"X-User-Id": str(user_id)}


def keyed(key: str | None) -> dict[str, str]:
    """A key of our own unless one was given: a repeated POST then makes nothing twice."""
    return {"Idempotency-Key": key or str(uuid4())}


def save_inputs(user_id: object, given: Mapping[str, Any]) -> Call:
    """Store inputs. Names as in Python (`focus_areas`) or as on the wire (`focusAreas`)."""
    return Call(
        "POST", "/api/plan/inputs", {"userId": str(user_id), **{_camel(key): given[key] for key in given}}, keyed(None)
    )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def wish(preference_id: object, user_id: object, on_disconnect: str | None = None) -> dict[str, Any]:
    """The body of a start."""
    body = {"preferenceId": str(preference_id), "userId": str(user_id)}
    return body if on_disconnect is None else body | {"onDisconnect": on_disconnect}


def start(body: Mapping[str, Any], key: str | None) -> Call:
    """Start a plan and watch it."""
    return Call("POST", "/api/streaming/generate-plan", body, {**STREAM, **keyed(key)})


def submit(body: Mapping[str, Any], key: str | None) -> Call:
    """Start a plan that is written whether somebody watches or not."""
    return Call("POST", "/api/streaming/generate-plan", body, {"Accept": "application/json", **keyed(key)})


def watch(plan_id: str, last_id: str | None) -> Call:
    """Watch, or resume."""
    return Call(
        "GET", f"/api/streaming/events/{plan_id}", None, STREAM | ({"Last-Event-ID": last_id} if last_id else {})
    )


def generate(body: Mapping[str, Any], key: str | None) -> Call:
    """The synchronous way."""
    return Call("POST", "/api/plan/generate", body, keyed(key), WHOLE_PLAN_SECONDS)


def batch(preference_ids: Sequence[object], user_id: object, key: str | None) -> Call:
    """Start up to 20 plans at once."""
    body = {"preferenceIds": [str(each) for each in preference_ids], "userId": str(user_id)}
    return Call("POST", "/api/streaming/batches", body, keyed(key))


def cancel(plan_id: object) -> Call:
    """Stop a plan."""
    return Call("DELETE", f"/api/streaming/cancel/{plan_id}")


def status(plan_id: object) -> Call:
    """How a plan stands."""
    return Call("GET", f"/api/streaming/status/{plan_id}")


def plan(plan_id: object) -> Call:
    """A stored plan."""
    return Call("GET", f"/api/plan/plans/{plan_id}")


def plans(limit: int, cursor: str | None) -> Call:
    """The newest plans."""
    query = httpx.QueryParams({"limit": limit} | ({"cursor": cursor} if cursor else {}))
    return Call("GET", f"/api/plan/plans?{query}")


def delete(plan_id: object) -> Call:
    """Erase a plan everywhere."""
    return Call("DELETE", f"/api/plan/plans/{plan_id}")


def quota() -> Call:
    """What is left of the month."""
    return Call("GET", "/api/plan/quota")


def refusal(response: httpx.Response) -> RefusedError | None:
    """What an answer refuses; its body has been read. None: nothing."""
    if response.is_success:
        return None
    try:
        problem = json.loads(response.content)
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        code, detail = "internal", f"HTTP {response.status_code}, and not from Planstream"
    after = response.headers.get("retry-after", "")
    return RefusedError(code, response.status_code, detail, float(after) if after.isdigit() else None)


def answer(response: httpx.Response) -> Any:
    """The JSON of a success.

    Raises:
        RefusedError: it was none.
    """
    if (refused := refusal(response)) is not None:
        raise refused
    return json.loads(response.content) if response.content else None
