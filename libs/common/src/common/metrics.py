"""What a service shows Prometheus, on a port of its own that no client reaches.

Metrics are one set a process, made when a service's `metrics` module is imported, as prometheus-client means it. No
label holds an id: a value is one of a few that the code names.
"""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from common.server import Unattended, listen

# Nobody asks when a counter was made, and it would be one more series for each.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library says nothing of its type

# Seconds. What a person notices lies between 10 ms and some seconds.
LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CALL_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
PLAN_BUCKETS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0)


class Distribution(Collector):
    """A histogram for what happens with every event: one search and two additions, no lock, no labels.

    It is for one event loop alone; prometheus-client's own takes a lock at each observation.
    """

    def __init__(
        self, name: str, about: str, buckets: Sequence[float] = LAG_BUCKETS, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._name = name
        self._about = about
        self._buckets = tuple(buckets)
        self._counts = [0] * (len(self._buckets) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count a value, in the metric's unit."""
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[Metric]:
        """As prometheus-client asks."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._buckets), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(self._name, self._about, buckets=buckets, sum_value=self._sum)


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


@asynccontextmanager
async def open_admin(host: str, port: int) -> AsyncIterator[int]:
    """Answer `GET /metrics` at a port, for the length of the block; gives the port. 0: nothing is opened.

    Raises:
        OSError: the address cannot be listened on.
    """
    if not port:
        yield 0
        return
    try:
        listener = listen(host, port)
    except OSError as error:
        raise OSError(error.errno, f"ADMIN_PORT: cannot listen on {host}:{port}: {error.strerror}") from None
    app = Starlette(routes=[Route("/metrics", _metrics)])
    server = Unattended(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None, server_header=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="admin")
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
