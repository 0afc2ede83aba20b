"""`/api/plan/*` goes on to plan-api, and nothing else does.

What is sent on is chosen, not filtered: a path of plain segments, the query without `userId`, three headers, and who
the user is.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

import httpx
from starlette.requests import Request
from starlette.responses import Response

from common.contracts.errors import ErrorCode
from common.ids import parse_uuid
from common.problems import ApiError
from stream_gateway.answer_headers import NO_STORE
from stream_gateway.auth import FrontDoor
from stream_gateway.plan_api import ANSWER_SECONDS, PlanApi, relay

METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_SENT_ON: Final = ("content-type", "accept", "idempotency-key")
_SYNCHRONOUS: Final = "/api/plan/generate"
# No percent sign, no dot segment, no empty segment: there is nothing left that two servers could read differently.
_PLAN: Final = "/api/plan/plans/"
_PATH: Final = re.compile(rb"/api/plan(?:/[A-Za-z0-9_-]+)+", re.ASCII)


def target_path(raw_path: bytes) -> str | None:
    """The path to ask plan-api for, or None for one that is not plainly below `/api/plan/`. Pure."""
    return raw_path.decode() if _PATH.fullmatch(raw_path) else None


def target_query(query_string: bytes) -> list[tuple[str, str]]:
    """The query without `userId`, which is only for us. Pure."""
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=50)
    return [(name, value) for name, value in pairs if name != "userId"]


def target_headers(headers: Mapping[str, str], names: Iterable[str] = _SENT_ON) -> dict[str, str]:
    """The headers that are sent on. Pure."""
    return {name: headers[name] for name in names if name in headers}


def plan_to_delete(method: str, path: str) -> UUID | None:
    """The plan that a request deletes, if that is what it does. Pure."""
    return parse_uuid(path.removeprefix(_PLAN)) if method == "DELETE" and path.startswith(_PLAN) else None


@dataclass(frozen=True, slots=True)
class Proxy:
    """The endpoint. Whoever keeps something of a plan here is in `forget`: a delete erases it in all slices.

    `owner_of` says whose a plan is or was, as far as is known here.
    """

    plan_api: PlanApi
    door: FrontDoor
    synchronous_seconds: float
    forget: Sequence[Callable[[UUID], None]]
    owner_of: Callable[[UUID], Awaitable[UUID | None]]

    async def __call__(self, request: Request) -> Response:
        """Send a request on and its answer back."""
        path = target_path(request.scope["raw_path"])
        if path is None:
            raise ApiError(ErrorCode.NOT_FOUND, "There is nothing at this path.")
        identity, body = await self.door.enter_with_body(request)
        try:
            query = target_query(request.scope["query_string"])
        except ValueError as error:
            raise ApiError(ErrorCode.INVALID_INPUT, "The query has too many fields.") from error
        response = await self.plan_api.send(
            request.method,
            path,
            identity.user_id,
            query=query,
            headers=target_headers(request.headers),
            content=body or None,
            timeout=self.synchronous_seconds if path == _SYNCHRONOUS else ANSWER_SECONDS,
        )
        if (plan_id := plan_to_delete(request.method, path)) is not None:
            return await self._deleted(plan_id, identity.user_id, response)
        return relay(response)

    async def _deleted(self, plan_id: UUID, user_id: UUID, response: httpx.Response) -> Response:
        """What is gone is forgotten, also when only the answer to an earlier try, of ours or the client's, was lost."""
        gone = response.status_code == httpx.codes.NO_CONTENT
        lost = response.status_code == httpx.codes.NOT_FOUND and await self.owner_of(plan_id) == user_id
        if gone or lost:
            for forget in self.forget:
                forget(plan_id)
        return Response(status_code=httpx.codes.NO_CONTENT, headers=NO_STORE) if lost else relay(response)
