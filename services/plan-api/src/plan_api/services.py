"""The use cases, as the endpoints find them."""

from dataclasses import dataclass

from starlette.requests import Request

from plan_api.admission import Admission
from plan_api.batches import Batches
from plan_api.plans import Plans
from plan_api.service import Inputs, Quota
from plan_api.synchronous import Synchronous


@dataclass(frozen=True, slots=True)
class Services:
    """Wired once, in the application's lifespan."""

    inputs: Inputs
    quota: Quota
    plans: Plans
    admission: Admission
    batches: Batches
    synchronous: Synchronous


def services_of(request: Request) -> Services:
    """The use cases of the application that serves this request."""
    services = request.state.services
    assert isinstance(services, Services)
    return services
