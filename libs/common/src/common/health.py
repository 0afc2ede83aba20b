"""Liveness and readiness. Outages of others stand in the body; only start-up and drain make a service not ready."""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.broker import Broker
from common.postgres import Database
from common.server import Draining

Check = Callable[[], bool]


class Dependencies:
    """What a service leans on. The routes look at it before there is anything; the lifespan fills it in."""

    def __init__(self) -> None:
        self.database: Database | None = None
        self.broker: Broker | None = None

    def checks(self) -> Mapping[str, Check]:
        """For `health_routes`."""
        return {
            "postgres": lambda: self.database is not None and self.database.reachable,
            "nats": lambda: self.broker is not None and self.broker.connected,
        }


def health_routes(draining: Draining, checks: Mapping[str, Check]) -> list[Route]:
    """`/livez` and `/readyz`; `checks` name what this service leans on and say whether it is there."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        body = {name: "up" if check() else "down" for name, check in checks.items()}
        status = "draining" if draining else "ready"
        return JSONResponse({"status": status, "dependencies": body}, 503 if draining else 200)

    return [Route("/livez", livez), Route("/readyz", readyz)]
