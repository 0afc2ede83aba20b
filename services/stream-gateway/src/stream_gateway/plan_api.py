"""HTTP to plan-api, in the name of a user."""

from collections.abc import Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import httpx
import structlog
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from common.contracts.errors import ErrorCode
from common.contracts.internal import IDEMPOTENCY_HEADER, USER_HEADER, AdmissionRequest, Admitted, Generation
from common.contracts.public import Batch, BatchRequest
from common.generator_client import JSON
from common.problems import ApiError

Answer = TypeVar("Answer", bound=BaseModel)

_log = structlog.get_logger(__name__)

ANSWER_SECONDS = 10.0
RETRY_AFTER_SECONDS = 5
# What of an answer a client may see; the rest is between the services.
_PASSED_ON = ("content-type", "retry-after", "location", "cache-control", "etag", "allow")
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


def unavailable() -> ApiError:
    """What a client hears when plan-api does not answer."""
    detail = "The plan service does not answer now. Try again shortly."
    return ApiError(ErrorCode.UNAVAILABLE, detail, retry_after=RETRY_AFTER_SECONDS)


class PlanApi:
    """plan-api as the gateway uses it. The client carries the service token."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url.rstrip("/")

    async def send(
        self,
        method: str,
        path: str,
        user_id: UUID,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> httpx.Response:
        """Ask, in the name of `user_id`.

        Raises:
            ApiError: unavailable, when nobody answers, or when the two services do not trust each other.
        """
        request = self._client.build_request(
            method,
            self._url + path,
            params=list(query) or None,
            headers=_as_bytes({**(headers or {}), USER_HEADER: str(user_id)}),
            content=content,
            timeout=httpx.Timeout(timeout, connect=2),
        )
        try:
            response = await self._send_again_when_safe(request)
        except httpx.HTTPError as error:
            _log.warning("plan_api.unanswered", method=method, path=path, error=repr(error))
            raise unavailable() from error
        _log.debug("plan_api.answered", method=method, path=path, status=response.status_code)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            # About our service token; a client could only misread it as being about its own.
            _log.error("plan_api.refused_service_token", method=method, path=path)
            raise unavailable()
        return response

    async def _send_again_when_safe(self, request: httpx.Request) -> httpx.Response:
        # A kept connection may have been closed by the other side just now.
        try:
            return await self._client.send(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if request.method not in _REPEATABLE and IDEMPOTENCY_HEADER not in request.headers:
                raise
            return await self._client.send(request)

    async def start(self, start: AdmissionRequest, user_id: UUID, key: str | None) -> Admitted | Response:
        """Ask for the admission of a plan; a refusal is passed on as it is.

        Raises:
            ApiError: unavailable.
        """
        return await self._admit("/internal/generations", start, Admitted, user_id, key)

    async def start_batch(self, asked: BatchRequest, user_id: UUID, key: str | None) -> Batch | Response:
        """Ask for the admission of several plans; a refusal of the whole is passed on as it is.

        Raises:
            ApiError: unavailable.
        """
        return await self._admit("/internal/batches", asked, Batch, user_id, key)

    async def _admit(
        self, path: str, asked: BaseModel, answer: type[Answer], user_id: UUID, key: str | None
    ) -> Answer | Response:
        headers = JSON if key is None else {**JSON, IDEMPOTENCY_HEADER: key}
        content = asked.model_dump_json(by_alias=True).encode()
        response = await self.send("POST", path, user_id, headers=headers, content=content)
        return _read(response, path, answer) if response.is_success else relay(response)

    async def batch(self, batch_id: UUID, user_id: UUID) -> Batch | None:
        """What plan-api knows of a batch; None when there is none.

        Raises:
            ApiError: unavailable.
        """
        return await self._known(f"/internal/batches/{batch_id}", Batch, user_id)

    async def generation(self, plan_id: UUID, user_id: UUID) -> Generation | None:
        """What plan-api knows of a plan; None when there is none.

        Raises:
            ApiError: unavailable.
        """
        return await self._known(f"/internal/generations/{plan_id}", Generation, user_id)

    async def _known(self, path: str, answer: type[Answer], user_id: UUID) -> Answer | None:
        response = await self.send("GET", path, user_id)
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise unavailable()
        if response.status_code in {httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN}:
            return None
        return _read(response, path, answer)


def _read(response: httpx.Response, path: str, answer: type[Answer]) -> Answer:
    try:
        return answer.model_validate_json(response.raise_for_status().content)
    except (httpx.HTTPStatusError, ValidationError) as error:
        _log.error("plan_api.malformed_answer", path=path, error=str(error)[:300])
        raise unavailable() from error


def relay(response: httpx.Response) -> Response:
    """plan-api's answer as ours: status, body and the headers that a client may see."""
    headers = {name: response.headers[name] for name in _PASSED_ON if name in response.headers}
    headers.setdefault("cache-control", "no-store")
    return Response(response.content, response.status_code, headers)


def _as_bytes(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """httpx would refuse what is not ASCII, and a client may send it."""
    return {name.encode("latin-1"): value.encode("latin-1") for name, value in headers.items()}
