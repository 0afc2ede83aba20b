"""Liveness and readiness. Outages of others stand in the body; only start-up and drain make a service not ready."""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.server import Draining

Check = Callable[[], bool]


def health_routes(draining: Draining, checks: Mapping[str, Check]) -> list[Route]:
    """`/livez` and `/readyz`; `checks` name what this service leans on and say whether it is there."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        body = {name: "up" if check() else "down" for name, check in checks.items()}
        status = "draining" if draining else "ready"
        return JSONResponse({"status": status, "dependencies": body}, 503 if draining else 200)

    return [Route("/livez", livez), Route("/readyz", readyz)]
