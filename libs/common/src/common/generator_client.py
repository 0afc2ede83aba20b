"""HTTP to the generators: plan-api's synchronous call, and everybody's question how a plan stands."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Final
from uuid import UUID

import httpx
from pydantic import SecretStr, ValidationError

from common import tracing
from common.contracts.errors import ErrorCode, Problem
from common.contracts.internal import CancelRequest, PlanQuery, PlanQueryResult, PlanView
from common.contracts.messages import GenerateJob
from common.problems import ApiError

QUERY_SECONDS = 3.0
# A generator that is gone must not hold a call that may take minutes.
CONNECT_SECONDS = 2.0
JSON: Final = {"Content-Type": "application/json"}
_TIMED_OUT = httpx.codes.GATEWAY_TIMEOUT


class GeneratorUnavailableError(Exception):
    """No generator answered, or not in a form we know."""


class GeneratorClient:
    """Any generator answers for every plan, from Postgres; the addresses are tried in turn."""

    def __init__(self, client: httpx.AsyncClient, urls: tuple[str, ...]) -> None:
        self._client = client
        self._urls = urls
        self._turn = count()

    async def view(self, plan_id: UUID, *, timeout: float = QUERY_SECONDS) -> PlanView | None:
        """The stored row of one plan, or None when no generator knows it.

        Raises:
            GeneratorUnavailableError: nobody answered.
        """
        response = await self._send("GET", f"/internal/plans/{plan_id}", timeout=timeout)
        return None if response.status_code == httpx.codes.NOT_FOUND else _view(response)

    async def query(
        self, plan_ids: Iterable[UUID], *, watched: bool = False, brief: bool = False, timeout: float = QUERY_SECONDS
    ) -> dict[UUID, PlanView]:
        """The stored rows of up to 500 plans by id; an unknown plan is missing.

        Raises:
            GeneratorUnavailableError: nobody answered.
        """
        body = PlanQuery(plan_ids=list(plan_ids), watched=watched, brief=brief)
        content = body.model_dump_json(by_alias=True).encode()
        response = await self._send("POST", "/internal/plans/query", content, timeout=timeout)
        try:
            result = PlanQueryResult.model_validate_json(_success(response).content)
        except ValidationError as error:
            raise GeneratorUnavailableError("the answer to a query was malformed") from error
        return {view.plan_id: view for view in result.plans}

    async def cancel(
        self,
        plan_id: UUID,
        user_id: UUID,
        *,
        code: ErrorCode | None = None,
        weeks: int | None = None,
        timeout: float = QUERY_SECONDS,
    ) -> PlanView:
        """Store the end of a plan wherever it runs, also when nobody has claimed it; answers with the final row.

        Args:
            plan_id: the plan.
            user_id: its owner, for a row that does not exist yet.
            code: why the service gives the plan up; None when the user stops it.
            weeks: how many the plan was to have, for a row that does not exist yet; None: not known.
            timeout: seconds to wait for each address.

        Raises:
            GeneratorUnavailableError: nobody answered.
        """
        body = CancelRequest(user_id=user_id, code=code, weeks=weeks)
        content = body.model_dump_json(by_alias=True, exclude_none=True).encode()
        return _view(await self._send("POST", f"/internal/plans/{plan_id}/cancel", content, timeout=timeout))

    async def erase(self, plan_id: UUID, *, timeout: float = QUERY_SECONDS) -> None:
        """Delete the plan's content; claims refuse it from then on.

        Raises:
            GeneratorUnavailableError: nobody answered.
        """
        _success(await self._send("DELETE", f"/internal/plans/{plan_id}", timeout=timeout))

    async def generate(self, job: GenerateJob, *, timeout: float) -> PlanView:
        """Write a plan synchronously; idempotent by planId, so a lost answer may be asked for again.

        Raises:
            GeneratorUnavailableError: nobody answered in `timeout` seconds.
            ApiError: upstream_timeout, when the generator says that the plan was not finished in its time.
        """
        try:
            async with asyncio.timeout(timeout):
                response = await self._send("POST", "/internal/generate", job.to_json(), timeout=timeout)
        except TimeoutError as error:
            raise GeneratorUnavailableError("the synchronous call took too long") from error
        if response.status_code == _TIMED_OUT:
            raise _timed_out(response)
        return _view(response)

    async def _send(self, method: str, path: str, content: bytes | None = None, *, timeout: float) -> httpx.Response:
        start = next(self._turn)
        failure: Exception | None = None
        limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        # One address is tried twice: a kept connection may have been closed by the other side just now.
        for step in range(max(2, len(self._urls))):
            url = self._urls[(start + step) % len(self._urls)]
            try:
                response = await self._client.request(
                    method, url + path, content=content, headers=None if content is None else JSON, timeout=limits
                )
            except httpx.HTTPError as error:
                failure = error
                continue
            # 504 is an answer: another address would take as long again.
            if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR or response.status_code == _TIMED_OUT:
                return response
            failure = GeneratorUnavailableError(f"HTTP {response.status_code}")
        raise GeneratorUnavailableError(f"{method} {path}: {failure!r}") from failure


def _success(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise GeneratorUnavailableError(f"HTTP {response.status_code}: {response.text[:200]}")
    return response


def _view(response: httpx.Response) -> PlanView:
    try:
        return PlanView.model_validate_json(_success(response).content)
    except ValidationError as error:
        raise GeneratorUnavailableError("the view of a plan was malformed") from error


def _timed_out(response: httpx.Response) -> ApiError | GeneratorUnavailableError:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return GeneratorUnavailableError("HTTP 504, and not from a generator")
    return ApiError(problem.code, problem.detail)


def generators_unavailable() -> ApiError:
    """What a client hears when no generator answers."""
    return ApiError(ErrorCode.UNAVAILABLE, "The generators do not answer now. Try again shortly.", retry_after=5)


@asynccontextmanager
async def open_service_client(token: SecretStr) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client for calls between the services: bearer token, connections kept, vanished hosts noticed."""
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=4)
    transport = httpx.AsyncHTTPTransport(limits=limits, trust_env=False, socket_options=_keepalive())
    async with httpx.AsyncClient(
        headers=headers, transport=transport, timeout=httpx.Timeout(10, connect=2), trust_env=False
    ) as client:
        if tracing.is_on():
            client.event_hooks = {"request": [_trace]}
        yield client


def _keepalive() -> list[tuple[int, int, int]]:
    """A host that is gone says nothing, and a synchronous answer may be minutes away: it is asked whether it is there.

    After 35 s without a sign the connection is broken.
    """
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    if sys.platform == "linux":
        options += [
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        ]
    return options


async def _trace(request: httpx.Request) -> None:
    if (value := tracing.traceparent()) is not None:
        request.headers[tracing.HEADER] = value
