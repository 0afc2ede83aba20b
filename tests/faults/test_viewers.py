"""Viewers that come back all the time, all at once, or never read."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import nats
import orjson
import psutil
import pytest
from nats.aio.msg import Msg

from testkit.history import History
from testkit.load import Scale
from testkit.recorder import Recorder, now, until
from testkit.trial import Arena, Pace, Trial, trial

RECONNECTS = 1000
STALLED = 200
STORM = 2000
RESUME_SECONDS = 3.0
LAG_RATIO = 1.5
# The buffers fill in some seconds; then the stream is closed after 30 s, or after the 20 s of TCP_USER_TIMEOUT.
CLOSED_SECONDS = 70.0
_STALLED = """
SELECT count(*) FROM stream_gateway.stream_sessions WHERE user_id = ANY($1) AND reason IN ('stalled', 'disconnected')
"""


@pytest.mark.full
@pytest.mark.timeout(180)
async def test_reconnects(arena: Arena) -> None:
    """Complaints 5 and 13: 1,000 reconnects at random points while each plan has 50 events a second."""
    scale = Scale(plans=6, viewers=60, spread=0.5, cancels=0, abandons=0)
    pace = Pace(tokens_per_second=50, chars_per_token=4)
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


@pytest.mark.full
@pytest.mark.timeout(240)
async def test_storm(arena: Arena) -> None:
    """2,000 viewers lose their connections in the same moment and come back together."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[0]),) * 2)
    scale = Scale(plans=20, viewers=STORM, spread=1, cancels=0, abandons=0, roaming=0)
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


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_stalled_readers(arena: Arena) -> None:
    """Complaint 10: 200 readers never read: the others do not notice, the stalled are closed, the memory comes back."""
    scale = replace(arena.scale, cancels=0, abandons=0, roaming=0, large=True)
    async with trial(arena, "200 stalled readers", pace=Pace(10, 30), scale=scale) as under_way, _tap(arena) as tap:
        before = _memory(arena)
        await asyncio.sleep(5)
        stalled_at = now()
        with _stalled(under_way) as sockets:
            closed = await _closed_as_stalled(arena, under_way)
            most = _memory(arena)
            loud = (stalled_at, now())
        history = await under_way.end(150)
        under_way.witness(
            len(sockets) == STALLED and closed >= STALLED * 0.9, f"{STALLED} sockets unread, {closed} closed for it"
        )
        quiet_lag, loud_lag = _lag(history, tap, stalled_at - 5, stalled_at), _lag(history, tap, *loud)
        under_way.witness(loud_lag > 0, f"lag p99 {quiet_lag * 1000:.1f} → {loud_lag * 1000:.1f} ms")
        under_way.witness(most, f"gateways' memory {before:.0f} → {most:.0f} → {_memory(arena):.0f} MiB")
        under_way.measure(loud_lag / quiet_lag, LAG_RATIO, "others' lag, p99", unit="x")


def _memory(arena: Arena) -> float:
    """Resident memory of both gateways, MiB."""
    names = ("gateway-1", "gateway-2")
    return sum(psutil.Process(arena.stack.pids[name]).memory_info().rss for name in names) / 2**20


@asynccontextmanager
async def _tap(arena: Arena) -> AsyncIterator[dict[tuple[str, int, int], float]]:
    """When each event came out of NATS."""
    seen: dict[tuple[str, int, int], float] = {}

    async def note(message: Msg) -> None:
        data = orjson.loads(message.data)
        seen.setdefault((data["planId"], data["attempt"], data["seq"]), now())

    client = await nats.connect(arena.stack.addresses.nats_url)
    try:
        await client.subscribe("plan.events.*", cb=note)
        yield seen
    finally:
        await client.close()


def _lag(history: History, tap: dict[tuple[str, int, int], float], begin: float, end: float) -> float:
    """p99 of what lies between NATS and the viewer, of progress events in a span, in seconds."""
    lags = sorted(
        event.at - tap[key]
        for viewer in history.viewers
        for connection in viewer.connections
        for event in connection.events
        if event.name == "progress"
        and begin < event.at < end
        and (key := (str(viewer.plan_id), *map(int, event.id.split(".")))) in tap
    )
    return lags[int(len(lags) * 0.99)] if lags else float("nan")


@contextmanager
def _stalled(under_way: Trial) -> Iterator[list[socket.socket]]:
    """Sockets that ask for whole documents, with hardly room for any, and never read."""
    plans = [(plan.plan_id, plan.user_id) for plan in under_way.load.accepted]
    gateways = under_way.stack.addresses.gateways
    with ExitStack() as opened:
        sockets = []
        for number in range(STALLED):
            plan_id, user_id = plans[number % len(plans)]
            there = urlsplit(gateways[number % 2])
            one = opened.enter_context(socket.socket())
            # Small segments, too: or the kernel takes some 2 MB for a reader that takes nothing.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            one.connect((there.hostname, there.port))
            path = f"/api/streaming/events/{plan_id}?mode=snapshot"
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-User-Id: {user_id}\r\n\r\n".encode())
            sockets.append(one)
        yield sockets


async def _closed_as_stalled(arena: Arena, under_way: Trial) -> int:
    """Wait until nearly all of them are closed for taking nothing; answers with how many are."""
    admin = await asyncpg.connect(arena.stack.addresses.admin_url)
    deadline = now() + CLOSED_SECONDS
    try:
        while True:
            count: int = await admin.fetchval(_STALLED, under_way.load.users)
            if count >= STALLED * 0.9 or now() > deadline:
                return count
            await asyncio.sleep(0.5)
    finally:
        await admin.close()
