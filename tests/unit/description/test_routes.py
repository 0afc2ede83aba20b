"""The description names every route there is, and no other."""

import re
from collections.abc import Iterable
from typing import Any

from starlette.routing import BaseRoute, Route, WebSocketRoute

import plan_api.app
import plan_api.settings
import stream_gateway.app
import stream_gateway.settings
from common.server import Draining
from stream_gateway.description.operations import OPERATIONS
from stream_gateway.proxy import METHODS

COMMON: dict[str, Any] = {"database_url": "postgresql://x", "service_token": "x" * 16, "host": "127.0.0.1"}
# For people and their browsers: the page, the documentation and what they load.
FOR_BROWSERS = re.compile(r"/|/page/.*|/plan-stream\.(js|d\.ts)|/docs(/.*)?|/openapi\.json")
# Leads to plan-api, whose own table has the routes behind it.
PASSED_ON = "/api/plan/{path:path}"


def gateway_routes() -> list[BaseRoute]:
    """The gateway's table."""
    settings = stream_gateway.settings.Settings(auth_mode="dev", **COMMON)
    return stream_gateway.app.route_table(settings, Draining(), stream_gateway.app.Dependencies())


def plan_api_routes() -> list[BaseRoute]:
    """What plan-api has behind the gateway."""
    app = plan_api.app.create_app(plan_api.settings.Settings(**COMMON), Draining())
    return [route for route in app.routes if isinstance(route, Route) and route.path.startswith("/api/plan/")]


def served(routes: Iterable[BaseRoute]) -> set[tuple[str, str]]:
    """Method and path of each, written as the description writes them."""
    found = set()
    for route in routes:
        assert isinstance(route, Route | WebSocketRoute), f"{route}: say here how the description has such a route"
        if FOR_BROWSERS.fullmatch(route.path) or route.path == PASSED_ON:
            continue
        methods = {"GET"} if isinstance(route, WebSocketRoute) else set(route.methods or ()) - {"HEAD"}
        path = re.sub(r"_(\w)(?=\w*\})", lambda letter: letter[1].upper(), route.path)
        found |= {(method.lower(), path) for method in methods}
    return found


def test_the_description_has_every_route_and_no_other() -> None:
    """A route without a description is a secret, and an operation without a route a lie."""
    described = {(operation.method, operation.path) for operation in OPERATIONS}
    there = served([*gateway_routes(), *plan_api_routes()])
    assert there - described == set(), "add these to stream_gateway.description.operations"
    assert described - there == set(), "nothing serves these"


def test_what_is_passed_on_includes_all_that_plan_api_has() -> None:
    """The gateway's one route for plan-api lets every method through that is used behind it."""
    [passed_on] = [route for route in gateway_routes() if isinstance(route, Route) and route.path == PASSED_ON]
    used = {method for route in plan_api_routes() if isinstance(route, Route) for method in route.methods or ()}
    assert used <= (passed_on.methods or set())
    assert used - {"HEAD"} <= set(METHODS)


def test_every_operation_has_a_name_of_its_own() -> None:
    """Code that is made from the description calls its functions by them."""
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
