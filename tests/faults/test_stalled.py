"""Viewers that never read: the others do not notice, they are closed, and what they had cost comes back."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import asyncpg
import nats
import orjson
import psutil
import pytest
from nats.aio.msg import Msg

from testkit.history import History
from testkit.recorder import now
from testkit.scale import Pace
from testkit.trial import Arena, Trial, trial

STALLED = 200
LAG_RATIO = 1.5
# p99 is taken of each window, some 1,000 events, and of these the median: what else happens on the machine for a moment
# is in one window, and 1 % of all events are fewer than one busy moment holds.
WINDOW_SECONDS = 2.0
QUIET_SECONDS = 12.0
# They come within this time, and until it is over their buffers are full: coming is not stalling.
COMING_SECONDS = 2.0
FILLED_SECONDS = 5.0
# The kernel ends them after 20 s (TCP_USER_TIMEOUT), the gateway after 30 s.
CLOSED_SECONDS = 45.0
# Memory is compared with what as many viewers left behind who did read.
WARM_SECONDS = 2.0
RETURNED_SECONDS = 20.0
RETURNED_MIB = STALLED * 32 / 1024
# What the kernel may hold for them at most: by itself it takes about a megabyte for each before anybody feels it.
KERNEL_MIB = STALLED * 256 / 1024
_STALLED = "SELECT count(*) FROM stream_gateway.stream_sessions WHERE user_id = ANY($1) AND reason = 'stalled'"


@pytest.mark.timeout(300)
async def test_stalled_readers(arena: Arena) -> None:
    """Complaint 10: 200 readers never read: the others do not notice, the stalled are closed, the memory comes back."""
    scale = replace(arena.scale, cancels=0, abandons=0, breaks=0, fails=0, roaming=0, large=True)
    async with trial(arena, "200 stalled readers", pace=Pace(10, 20), scale=scale) as under_way, _tap(arena) as tap:
        await _read_for_a_while(under_way)
        quiet = await _span(QUIET_SECONDS)
        base = _held(arena)
        came_at = now()
        async with _stalled(under_way):
            await asyncio.sleep(max(0.0, came_at + FILLED_SECONDS - now()))
            filled_at = now()
            closed, most = await _closed_as_stalled(arena, under_way)
            loud = filled_at, now()
            left = await _returned(arena, base)
        history = await under_way.end(150)
        lags = _lags(history, tap)
        under_way.witness(closed == STALLED, f"{STALLED} sockets unread, {closed} closed for it")
        coming = _p99(_between(lags, came_at, filled_at))
        before, after = _steady(lags, *quiet), _steady(lags, *loud)
        under_way.witness(after, f"lag p99 {before:.1f} → {after:.1f} ms ({coming:.1f} ms while they came)")
        under_way.witness(most, f"gateways' memory {base.memory:.0f} → {most.memory:.0f} → {left.memory:.0f} MiB")
        under_way.witness(most, f"the kernel's for TCP {base.kernel:.0f} → {most.kernel:.0f} → {left.kernel:.0f} MiB")
        under_way.measure(after / before, LAG_RATIO, "others' lag, p99", unit="x")
        assert left.sockets <= base.sockets
        assert left.memory <= base.memory + RETURNED_MIB
        assert most.kernel <= base.kernel + KERNEL_MIB


@dataclass(frozen=True, slots=True)
class _Held:
    """What both gateways hold: resident memory, and open files, which are nearly all sockets; MiB.

    `kernel` is the kernel's memory for all TCP of this machine.
    """

    memory: float
    sockets: int
    kernel: float

    def or_more(self, other: "_Held") -> "_Held":
        """The most of each."""
        kernel = max(self.kernel, other.kernel)
        return _Held(max(self.memory, other.memory), max(self.sockets, other.sockets), kernel)


def _held(arena: Arena) -> _Held:
    processes = [psutil.Process(arena.stack.pids[name]) for name in ("gateway-1", "gateway-2")]
    memory = sum(process.memory_info().rss for process in processes) / 2**20
    return _Held(memory, sum(process.num_fds() for process in processes), _kernel())


def _kernel() -> float:
    """`TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3`, in pages (proc(5))."""
    _, _, pages = Path("/proc/net/sockstat").read_text().partition("TCP: ")[2].partition(" mem ")
    return int(pages.split()[0]) * resource.getpagesize() / 2**20


async def _returned(arena: Arena, base: _Held) -> _Held:
    """What is held when it is as before, or at the deadline."""
    deadline = now() + RETURNED_SECONDS
    while True:
        held = _held(arena)
        if (held.sockets <= base.sockets and held.memory <= base.memory + RETURNED_MIB) or now() > deadline:
            return held
        await asyncio.sleep(0.25)


async def _span(seconds: float) -> tuple[float, float]:
    begin = now()
    await asyncio.sleep(seconds)
    return begin, now()


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


Lags = Sequence[tuple[float, float]]


def _lags(history: History, tap: dict[tuple[str, int, int], float]) -> Lags:
    """Of each progress event when a viewer had it, and the milliseconds since it had come out of NATS."""
    return [
        (event.at, (event.at - tap[key]) * 1000)
        for viewer in history.viewers
        for connection in viewer.connections
        for event in connection.events
        if event.name == "progress" and (key := (str(viewer.plan_id), *map(int, event.id.split(".")))) in tap
    ]


def _between(lags: Lags, begin: float, end: float) -> list[float]:
    return sorted(lag for at, lag in lags if begin <= at < end)


def _p99(lags: Sequence[float]) -> float:
    return lags[int(len(lags) * 0.99)] if lags else float("nan")


def _steady(lags: Lags, begin: float, end: float) -> float:
    """The median of the windows' p99."""
    count = int((end - begin) / WINDOW_SECONDS)
    starts = [begin + number * WINDOW_SECONDS for number in range(count)]
    return median(_p99(_between(lags, start, start + WINDOW_SECONDS)) for start in starts)


def _requests(under_way: Trial) -> list[tuple[tuple[str, int], bytes]]:
    """For each of them a gateway's address, and a request for whole documents."""
    plans = [(plan.plan_id, plan.user_id) for plan in under_way.load.accepted]
    there = [urlsplit(gateway) for gateway in under_way.stack.addresses.gateways]
    wanted = []
    for number in range(STALLED):
        plan_id, user_id = plans[number % len(plans)]
        address = there[number % len(there)]
        head = f"GET /api/streaming/events/{plan_id}?mode=snapshot HTTP/1.1\r\nHost: x\r\nX-User-Id: {user_id}\r\n\r\n"
        wanted.append(((str(address.hostname), address.port or 80), head.encode()))
    return wanted


async def _read_for_a_while(under_way: Trial) -> None:
    """As many viewers who do read, and go: what they leave behind is the allocator's, and there for the next."""

    async def read(address: tuple[str, int], request: bytes) -> None:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request)
        with suppress(TimeoutError):
            async with asyncio.timeout(WARM_SECONDS):
                while await reader.read(65536):
                    pass
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(read(*wanted) for wanted in _requests(under_way)))


@asynccontextmanager
async def _stalled(under_way: Trial) -> AsyncIterator[None]:
    """Sockets that ask for whole documents, with hardly room for any, and never read."""
    with ExitStack() as opened:
        for address, request in _requests(under_way):
            one = opened.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.connect(address)
            one.sendall(request)
            await asyncio.sleep(COMING_SECONDS / STALLED)
        yield


async def _closed_as_stalled(arena: Arena, under_way: Trial) -> tuple[int, _Held]:
    """Wait until they are closed for taking nothing; answers with how many are, and the most that was held."""
    admin = await asyncpg.connect(arena.stack.addresses.admin_url)
    deadline = now() + CLOSED_SECONDS
    most = _held(arena)
    try:
        while True:
            count: int = await admin.fetchval(_STALLED, under_way.load.users)
            most = most.or_more(_held(arena))
            if count >= STALLED or now() > deadline:
                return count, most
            await asyncio.sleep(0.5)
    finally:
        await admin.close()
