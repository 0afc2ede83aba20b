"""Viewers that come back all the time, or all at once."""

import asyncio
import resource

import pytest

from testkit.history import History
from testkit.recorder import Recorder, now, until
from testkit.scale import Pace, Scale
from testkit.trial import Arena, trial

RECONNECTS = 1000
STORM = 2000
RESUME_SECONDS = 3.0


@pytest.mark.timeout(180)
async def test_reconnects(arena: Arena) -> None:
    """Complaints 5 and 13: 1,000 reconnects at random points while each plan has 50 events a second."""
    scale = Scale(plans=6, viewers=60, spread=0.5, cancels=0, abandons=0, breaks=2, fails=1)
    pace = Pace(tokens_per_second=50, chars_per_token=3)
    async with trial(arena, "1,000 reconnects at random points under 50 events/s", scale=scale, pace=pace) as under_way:
        broken = 0
        while broken < RECONNECTS and not all(viewer.ended.is_set() for viewer in under_way.load.viewers):
            broken += under_way.rng.choice(under_way.load.viewers).drop()
            await asyncio.sleep(0.002)
        history = await under_way.end()
        under_way.witness(broken >= RECONNECTS, f"{broken} connections broken")
        gaps = _resumptions(history)
        under_way.measure(gaps[int(len(gaps) * 0.99)] * 1000, RESUME_SECONDS * 1000, "resumed, p99", unit="ms")


def _resumptions(history: History) -> list[float]:
    """From a request with a cursor to its first event after `connected`, ascending."""
    return sorted(
        connection.events[1].at - connection.opened_at
        for viewer in history.viewers
        for connection in viewer.connections
        if connection.cursor is not None and len(connection.events) > 1
    )


@pytest.mark.timeout(240)
async def test_storm(arena: Arena) -> None:
    """2,000 viewers lose their connections in the same moment and come back together."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[0]),) * 2)
    scale = Scale(plans=20, viewers=STORM, spread=1, cancels=0, abandons=0, fails=0, roaming=0)
    # One event a second: it is the coming back that is tested here.
    async with trial(arena, "a reconnect storm of 2,000 viewers", scale=scale, pace=Pace(1, 110)) as under_way:
        viewers = under_way.load.viewers
        await until(lambda: len(_connected(viewers)) >= STORM, 30, "the viewers are there")
        before = {viewer: len(viewer.log.connections) for viewer in _connected(viewers)}
        dropped_at = now()
        broken = sum(viewer.drop() for viewer in before)
        history = await under_way.end(150)
        under_way.witness(broken >= STORM * 0.99, f"{broken} connections broken at once")
        waits = sorted(_back_after(viewer, count, dropped_at) for viewer, count in before.items())
        assert len(history.viewers) == STORM
        under_way.measure(waits[int(len(waits) * 0.99)], RESUME_SECONDS, "resumed, p99")


def _connected(viewers: list[Recorder]) -> list[Recorder]:
    return [one for one in viewers if not one.ended.is_set() and one.log.connections and one.log.connections[-1].events]


def _back_after(viewer: Recorder, connections: int, moment: float) -> float:
    """When a viewer had its next answer on a later connection; what it waited by itself is not counted."""
    later = viewer.log.connections[connections:]
    first = next((one.events[0].at for one in later if one.events), None)
    if first is None:
        return 0.0 if viewer.ended.is_set() else float("inf")
    return first - max(later[0].opened_at, moment)
