"""`/api/session`: a bearer token for the cookie that a browser's `EventSource` and `WebSocket` can send."""

import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.bodies import JsonModel
from common.contracts.base import Envelope
from common.contracts.errors import ErrorCode
from common.problems import ApiError
from stream_gateway.answer_headers import NO_STORE
from stream_gateway.auth.origins import is_plain_loopback
from stream_gateway.auth.session_cookie import MAX_CHARS, SessionCookie
from stream_gateway.services import services_of

PATH: Final = "/api/session"
# The last second that a datetime can say; a token may name a later one.
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC).timestamp() - 1


class SessionReply(Envelope):
    """The answer of `POST /api/session`."""

    user_id: UUID
    expires_at: datetime | None = Field(description="when the cookie ends, and with it its streams; null: it does not")


def session_routes(cookie: SessionCookie) -> list[Route]:
    """POST makes the cookie, DELETE takes it away."""

    async def create(request: Request) -> Response:
        identity, shown = await services_of(request).door.enter_for_session(request)
        if not cookie.fits(shown):
            detail = f"A cookie cannot hold a token of more than {MAX_CHARS - 20} characters: send it as a header."
            raise ApiError(ErrorCode.PAYLOAD_TOO_LARGE, detail)
        ends = identity.expires_at
        plain = is_plain_loopback(request.headers.get("origin", ""))
        header = cookie.written(shown, None if ends is None else ends - time.time(), plain=plain)
        expires_at = None if ends is None else datetime.fromtimestamp(min(ends, _END_OF_TIME), UTC)
        return JsonModel(SessionReply(user_id=identity.user_id, expires_at=expires_at), headers={"Set-Cookie": header})

    async def clear(request: Request) -> Response:
        """Also when the token has expired: whoever has the cookie may be rid of it."""
        services_of(request).door.require_page(request)
        response = Response(status_code=204, headers=NO_STORE)
        for header in cookie.cleared():
            response.headers.append("Set-Cookie", header)
        return response

    async def session(request: Request) -> Response:
        return await (create if request.method == "POST" else clear)(request)

    # One route, so that a 405 names both methods.
    return [Route(PATH, session, methods=["POST", "DELETE"])]
