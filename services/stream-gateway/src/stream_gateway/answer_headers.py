"""What every answer carries, also a refusal, a crash and a stream: the request's id, CORS, and security headers.

It stands outside of the whole application: what Starlette answers to a crash passes none of the middleware inside.
"""

import re
import time
from typing import Final
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.contracts.errors import ErrorCode
from common.problems import ApiError, problem_response
from stream_gateway import metrics
from stream_gateway.cors import Cors

_log = structlog.get_logger(__name__)

# For what routes answer without a model or a stream, which say it themselves.
NO_STORE: Final = {"Cache-Control": "no-store"}
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}", re.ASCII)
# Unless a route says otherwise: nothing that we answer is to be run, framed, embedded or guessed at.
SECURITY: Final = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-frame-options": b"DENY",
}
# RFC 9110 section 11.6.1 asks for it, RFC 6750 section 3 says how.
_CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="planstream"')
_NO_BODY: Final = (b"content-length", b"0")
_UNAUTHORIZED: Final = 401
_SERVER_ERROR: Final = 500


def request_id(given: list[bytes]) -> bytes:
    """The caller's own id for the request when it is a plain word, else a new one. Pure but for the new one."""
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else uuid4().hex.encode()


class AnswerHeaders:
    """ASGI middleware. It looks at the start of an answer alone, so that a stream's events pass as they come."""

    def __init__(self, app: ASGIApp, cors: Cors) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, with the request's id in every line that is logged on its way."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        own_id = request_id(_given(scope, b"x-request-id"))
        with structlog.contextvars.bound_contextvars(request_id=own_id.decode()):
            if scope["type"] == "http":
                await self._http(scope, receive, send, own_id)
            else:
                await self._app(scope, receive, _with_handshake_headers(send, [(b"x-request-id", own_id)]))

    async def _http(self, scope: Scope, receive: Receive, send: Send, own_id: bytes) -> None:
        began = time.perf_counter()
        origin = next(iter(_given(scope, b"origin")), None)
        preflight = None if origin is None else self._preflight(scope, origin)
        added = [(b"x-request-id", own_id), *(self._cors.answer(origin) if preflight is None else [])]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _completed(message, added, head=scope["method"] == "HEAD")
                metrics.ANSWERS.labels(f"{message['status'] // 100}xx").inc()
                _say(scope, message["status"], time.perf_counter() - began)
            await send(message)

        await (preflight or self._app)(scope, receive, with_headers)

    def _preflight(self, scope: Scope, origin: bytes) -> ASGIApp | None:
        """The answer to a preflight, of any path; None: it is none."""
        if scope["method"] != "OPTIONS" or not _given(scope, b"access-control-request-method"):
            return None
        headers = self._cors.preflight(origin)
        if headers is None:
            return problem_response(ApiError(ErrorCode.FORBIDDEN, "This origin is not one of ALLOWED_ORIGINS."))

        async def answer(_: Scope, __: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

        return answer


def _with_handshake_headers(send: Send, added: list[tuple[bytes, bytes]]) -> Send:
    """For a WebSocket: its acceptance, or the answer that refuses it, which is one of HTTP."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message["headers"] = [*message.get("headers", ()), *added]
        elif message["type"] == "websocket.http.response.start":
            message["headers"] = _completed(message, added)
        await send(message)

    return with_headers


def _given(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _completed(message: Message, added: list[tuple[bytes, bytes]], *, head: bool = False) -> list[tuple[bytes, bytes]]:
    headers = [*message.get("headers", ()), *added]
    if head and _NO_BODY in headers:
        # The length of what a GET would be answered with, or none (RFC 9110 section 8.6): not that of no body.
        headers.remove(_NO_BODY)
    present = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in SECURITY.items() if name not in present]
    if b"vary" not in present:
        headers.append((b"vary", b"Origin"))
    if message["status"] == _UNAUTHORIZED:
        headers.append(_CHALLENGE)
    return headers


def _say(scope: Scope, status: int, seconds: float) -> None:
    # Without the query, which may hold what a client should not have put there.
    write = _log.warning if status >= _SERVER_ERROR else _log.debug
    write(
        "request.answered",
        method=scope["method"],
        path=scope["path"][:200],
        status=status,
        milliseconds=round(seconds * 1000, 1),
    )
