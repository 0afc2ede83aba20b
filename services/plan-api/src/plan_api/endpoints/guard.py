"""Who may come in, and what stands in the request's line and headers."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import orjson
from pydantic import BaseModel, SecretStr
from starlette.requests import Request
from starlette.responses import Response

from common.contracts.errors import ErrorCode
from common.contracts.internal import IDEMPOTENCY_HEADER, USER_HEADER
from common.ids import parse_uuid
from common.problems import ApiError
from common.service_auth import require_service
from plan_api.repository.idempotency import IdempotencyKey

Endpoint = Callable[[Request], Awaitable[Response]]
UserEndpoint = Callable[[Request, UUID], Awaitable[Response]]

_LONGEST_KEY = 255


class Guard:
    """Wraps endpoints: the service token always, and the user where one is needed."""

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self._tokens = tokens

    def service(self, endpoint: Endpoint) -> Endpoint:
        """For the other services."""

        async def guarded(request: Request) -> Response:
            require_service(request, self._tokens)
            return await endpoint(request)

        return guarded

    def user(self, endpoint: UserEndpoint) -> Endpoint:
        """For a user whom the gateway knows: it sends the service token and `X-User-Id`."""

        async def guarded(request: Request) -> Response:
            require_service(request, self._tokens)
            user_id = parse_uuid(request.headers.get(USER_HEADER, ""))
            if user_id is None:
                raise ApiError(ErrorCode.UNAUTHORIZED, "X-User-Id must name the user, as a UUID.")
            return await endpoint(request, user_id)

        return guarded


def path_id(request: Request, name: str) -> UUID:
    """An id from the path.

    Raises:
        ApiError: not_found; what is not a UUID names nothing.
    """
    parsed = parse_uuid(request.path_params[name])
    if parsed is None:
        raise ApiError(ErrorCode.NOT_FOUND, f"{name} is not a UUID, so there is nothing by that name.")
    return parsed


def require_same_user(claimed: UUID | None, user_id: UUID) -> None:
    """A user named in a body must be the one who asks.

    Raises:
        ApiError: forbidden.
    """
    if claimed is not None and claimed != user_id:
        raise ApiError(ErrorCode.FORBIDDEN, "userId must be your own.")


def idempotency_key(request: Request, user_id: UUID, body: BaseModel) -> IdempotencyKey | None:
    """The request's Idempotency-Key, bound to what the body says, whatever its spacing and order of keys.

    Raises:
        ApiError: invalid_input, for an empty, long or unprintable key.
    """
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isascii() or not key.isprintable():
        detail = f"Idempotency-Key must be 1 to {_LONGEST_KEY} printable ASCII characters."
        raise ApiError(ErrorCode.INVALID_INPUT, detail)
    said = orjson.dumps(body.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return IdempotencyKey(user_id, request.url.path, key, hashlib.sha256(said).digest())
