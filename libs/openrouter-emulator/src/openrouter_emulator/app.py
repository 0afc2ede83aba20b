"""The application: OpenRouter's routes and the control routes."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from openrouter_emulator.control import control_routes
from openrouter_emulator.endpoints import api_routes
from openrouter_emulator.state import EmulatorState

API_PATH = "/api/v1"
CONTROL_PATH = "/control"


def create_app(state: EmulatorState) -> Starlette:
    """An application that shares `state` with whoever made it. Only `server.EmulatorProtocol` can serve its streams."""
    return Starlette(
        routes=[Mount(API_PATH, routes=api_routes(state)), Mount(CONTROL_PATH, routes=control_routes(state))],
        exception_handlers={HTTPException: _as_json},
    )


async def _as_json(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = {"error": {"message": error.detail, "code": error.status_code}}
    return JSONResponse(body, error.status_code, headers=error.headers)
