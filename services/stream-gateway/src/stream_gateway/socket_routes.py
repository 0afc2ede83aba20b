"""`/api/streaming/ws`: who may open a WebSocket. A browser's comes with the cookie, and with its page's Origin."""

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from common.problems import ApiError, problem_response
from stream_gateway.endpoints import STREAMING
from stream_gateway.services import services_of
from stream_gateway.socket import Socket


def socket_routes() -> list[WebSocketRoute]:
    """The routes of this module."""
    return [WebSocketRoute(f"{STREAMING}/ws", open_socket)]


async def open_socket(websocket: WebSocket) -> None:
    """The handshake: accepted, or answered with a problem document, which browsers do not show."""
    services = services_of(websocket)
    try:
        identity = await services.door.enter(websocket)
        place = services.sessions.take_place(identity.user_id)
    except ApiError as error:
        await websocket.send_denial_response(problem_response(error))
        return
    await Socket(websocket, services, services.sessions.open(place, identity)).serve()
