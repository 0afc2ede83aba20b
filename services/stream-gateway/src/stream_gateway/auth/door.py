"""The front door: every request of a user comes in here, over HTTP and WebSocket alike."""

import math
import time
from collections.abc import Callable, Collection
from typing import Final, Literal

from starlette.requests import HTTPConnection, Request

from common.bodies import read_body
from common.contracts.errors import ErrorCode
from common.problems import ApiError
from stream_gateway.auth.identity import Authenticator, Identity, unauthorized
from stream_gateway.auth.origins import Source, source_of
from stream_gateway.auth.session_cookie import SessionCookie
from stream_gateway.rate_limit import RateLimit

# RFC 9110 section 9.2.1; browsers send no Origin with them to the page's own server.
_SAFE: Final = frozenset({"GET", "HEAD"})
Proof = Literal["header", "cookie", "word"]


class FrontDoor:
    """Who is calling, from which page, and how often. Nothing is read or asked for before that is known."""

    def __init__(
        self,
        way: Authenticator,
        allowed_origins: Collection[str],
        cookie: SessionCookie,
        limit: RateLimit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._way = way
        self._allowed = allowed_origins
        self._cookie = cookie
        self._limit = limit
        self._clock = clock

    async def enter(self, connection: HTTPConnection, body: bytes = b"") -> Identity:
        """The caller of a request or a WebSocket handshake.

        Raises:
            ApiError: unauthorized; forbidden, for a page of a foreign origin; rate_limited; unavailable, when tokens
                cannot be checked now.
        """
        shown = self._shown(connection, body)
        proof: Proof = "word" if self._way.trusting else "header"
        if shown is None:
            shown, proof = self._cookie.read(connection.cookies), "cookie"
        if shown is None:
            raise unauthorized(self._way.advice)
        self._require_origin(connection, proof)
        return await self._let_in(shown)

    async def enter_with_body(self, request: Request) -> tuple[Identity, bytes]:
        """The caller, and the request's body, which a stranger's is not read of where proof is asked for.

        Raises:
            ApiError: as `enter`, and as `read_body`.
        """
        if self._way.trusting:
            body = await read_body(request)
            return await self.enter(request, body), body
        identity = await self.enter(request)
        return identity, await read_body(request)

    async def enter_for_session(self, request: Request) -> tuple[Identity, str]:
        """The caller and what it showed, which must not be a cookie; its page must be known.

        Raises:
            ApiError: as `enter`.
        """
        self.require_page(request)
        shown = self._shown(request, b"")
        if shown is None:
            raise unauthorized(self._way.advice)
        return await self._let_in(shown), shown

    def require_page(self, connection: HTTPConnection) -> None:
        """Let only our own page in, or one of an allowed origin.

        Raises:
            ApiError: forbidden.
        """
        if self._source(connection) is not Source.OURS:
            raise _foreign()

    def count(self, identity: Identity) -> None:
        """Count one more request, as for a message on a WebSocket.

        Raises:
            ApiError: rate_limited, with when to come again.
        """
        wait = self._limit.take(identity.user_id, self._clock())
        if wait:
            seconds = math.ceil(wait)
            detail = f"You may send {self._limit.per_minute} requests a minute. Wait {seconds} s."
            raise ApiError(ErrorCode.RATE_LIMITED, detail, retry_after=seconds)

    async def _let_in(self, shown: str) -> Identity:
        identity = await self._way.verify(shown)
        self.count(identity)
        return identity

    def _shown(self, connection: HTTPConnection, body: bytes) -> str | None:
        if len(connection.headers.getlist("authorization")) > 1:
            raise unauthorized("Send one Authorization header.")
        return self._way.shown(connection.headers, connection.query_params, body)

    def _source(self, connection: HTTPConnection) -> Source:
        headers = connection.headers
        site, host = headers.get("sec-fetch-site"), headers.get("host")
        return source_of(headers.getlist("origin"), site, host, self._allowed)

    def _require_origin(self, connection: HTTPConnection, proof: Proof) -> None:
        """A token in a header was put there by the page itself; a cookie goes along with whatever the browser sends."""
        source = self._source(connection)
        websocket = connection.scope["type"] == "websocket"
        if source is Source.FOREIGN and (websocket or proof != "header"):
            raise _foreign()
        unsafe = websocket or connection.scope["method"] not in _SAFE
        if source is Source.UNSAID and proof == "cookie" and unsafe:
            raise _foreign()


def _foreign() -> ApiError:
    detail = "This needs an Origin that the server knows: its own page's, or one of ALLOWED_ORIGINS."
    return ApiError(ErrorCode.FORBIDDEN, detail)
