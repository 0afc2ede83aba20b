"""uvicorn's HTTP, stricter: what a request may cost in time and bytes is bounded, and it has one meaning only.

httptools keeps a head of any size, and uvicorn waits for one for ever: a few thousand idle sockets would hold every
file descriptor, and one endless header all memory. What is refused here never reaches an application.
"""

import asyncio
import logging
import re
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from common.contracts.errors import ErrorCode, Problem
from common.problems import PROBLEM_MEDIA_TYPE

_log = structlog.get_logger(__name__)

# From the connection, or from the first byte after an answer, to the end of a request's headers. Also for what comes of
# a body after its answer, which nobody waits for any more.
HEAD_SECONDS: Final = 10.0
# Request line and headers together. A head that grows is cut off one read of the socket later.
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
# All that may follow a head, framing and trailers included, read by somebody or not. Applications bound what they read,
# far lower; the parser keeps a trailer of any size.
MAX_REST_BYTES: Final = 4 * 1024 * 1024

_VERSIONS: Final = frozenset({"1.0", "1.1"})
# RFC 9110 section 7.2: uri-host [ ":" port ], where RFC 3986 section 3.2.2 has the host.
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[A-Fa-f0-9:.]+\])(?::[0-9]{0,5})?")

# uvicorn warns of every request that is malformed: strangers could fill a disk with that. Its errors stay.
_errors = logging.getLogger("uvicorn.error.requests")
_errors.setLevel(logging.ERROR)


# Status, code, and what to do about it.
_Refusal: TypeAlias = tuple[HTTPStatus, ErrorCode, str]


def _malformed(detail: str) -> _Refusal:
    return HTTPStatus.BAD_REQUEST, ErrorCode.INVALID_INPUT, detail


_LARGE_HEAD: Final[_Refusal] = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ErrorCode.PAYLOAD_TOO_LARGE,
    f"The request line and headers may hold {MAX_HEAD_BYTES} bytes, and {MAX_HEADERS} headers.",
)
_LARGE_REST: Final[_Refusal] = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.PAYLOAD_TOO_LARGE,
    f"After its headers a request may hold {MAX_REST_BYTES} bytes.",
)


class _RefusedError(Exception):
    """Raised through the parser, which ends with it."""


class BoundedRequests(HttpToolsProtocol):
    """One connection. A client is waited for only as long as its head may take, whatever it dribbles meanwhile."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _errors
        self._deadline: asyncio.TimerHandle | None = None
        self._bytes = 0
        self._in_head = False
        self._refusal = _malformed("This is not a valid HTTP/1.1 request.")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin; also a client that sends nothing is not waited for without end."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._stop_waiting_for_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; it does not put the deadline off."""
        self._bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # refused, or a WebSocket now
        if self._in_head and self._bytes > MAX_HEAD_BYTES:
            self._refusal = _LARGE_HEAD
            self.send_400_response("")
        elif not self._in_head and self._bytes > MAX_REST_BYTES:
            self._refusal = _LARGE_REST
            self.send_400_response("")
        elif self._deadline is None and self._is_idle():
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._bytes = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; not a trailer, which could say afterwards what has been checked before (RFC 9110 6.5.1).

        White space around a value is none of it (RFC 9110 5.5), and llhttp leaves some: it could not be sent on.
        """
        if self._in_head:
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """Let the request in, or not."""
        self._stop_waiting_for_head()
        refusal = _judge(self.url, self.headers, self.parser.get_http_version())
        if refusal is not None:
            self._refusal = refusal
            raise _RefusedError
        self._in_head, self._bytes = False, 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, and end the connection: nobody knows where the next one would begin."""
        status, code, detail = self._refusal
        _log.debug("request.refused", status=int(status), error=msg)
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # an earlier request is being answered: no word of ours belongs into that
            return
        problem = Problem(title=status.phrase, status=status, code=code, detail=detail)
        body = problem.model_dump_json(by_alias=True, exclude_none=True).encode()
        head = (
            f"content-type: {PROBLEM_MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
            "cache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()

    def _is_idle(self) -> bool:
        """Whether it is the client's turn."""
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_waiting_for_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._in_head:
            detail = f"The request's headers were not complete after {self.head_seconds:g} seconds."
            self._refusal = HTTPStatus.REQUEST_TIMEOUT, ErrorCode.INVALID_INPUT, detail
            self.send_400_response("")
        else:
            self.transport.close()


def _judge(url: bytes, headers: list[tuple[bytes, bytes]], version: str) -> _Refusal | None:
    """Why a head is refused. Lengths and codings that contradict each other have been refused by the parser."""
    size = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
    if size > MAX_HEAD_BYTES or len(headers) > MAX_HEADERS:
        return _LARGE_HEAD
    if version not in _VERSIONS:
        return _malformed("This server speaks HTTP/1.1.")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == "1.1") or not all(_HOST.fullmatch(host) for host in hosts):
        return _malformed("A request has one Host header, with a host and perhaps a port.")  # RFC 9112 section 3.2
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version == "1.0"):
        return _malformed("The only transfer coding here is chunked, and in HTTP/1.1.")  # RFC 9112 section 6.1
    return None
