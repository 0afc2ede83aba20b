"""What the endpoints work with, as they find it."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from stream_gateway.auth import FrontDoor
from stream_gateway.batches import Batches
from stream_gateway.cancel import Canceller
from stream_gateway.ownership import Ownership
from stream_gateway.plan_api import PlanApi
from stream_gateway.proxy import Proxy
from stream_gateway.sessions import Sessions
from stream_gateway.status import StatusReader


@dataclass(frozen=True, slots=True)
class Services:
    """Wired once, in the application's lifespan."""

    door: FrontDoor
    plan_api: PlanApi
    ownership: Ownership
    batches: Batches
    sessions: Sessions
    canceller: Canceller
    statuses: StatusReader
    proxy: Proxy


def services_of(connection: HTTPConnection) -> Services:
    """Those of the application that serves this request or WebSocket."""
    services = connection.state.services
    assert isinstance(services, Services)
    return services
