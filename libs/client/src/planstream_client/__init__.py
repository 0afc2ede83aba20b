"""Planstream from Python: `Planstream` waits, `AsyncPlanstream` is awaited; both have the same verbs.

from planstream_client import Planstream

with Planstream("http://127.0.0.1:8080", user_id=user) as client:
    with client.start(client.save_inputs(goals="Run 10 km")) as watch:
        for event in watch:
            print(event.name, watch.percent)
    print(watch.status, watch.plan)
"""

from planstream_client.aio import AsyncPlanstream, AsyncWatch
from planstream_client.blocking import Planstream, Watch
from planstream_client.errors import PlanstreamError, RefusedError, UnreachableError
from planstream_client.events import Event, Failure, Progress
from planstream_client.service import generate_for

__all__ = [
    "AsyncPlanstream",
    "AsyncWatch",
    "Event",
    "Failure",
    "Planstream",
    "PlanstreamError",
    "Progress",
    "RefusedError",
    "UnreachableError",
    "Watch",
    "generate_for",
]
