"""Ids that nobody has given out cost a gateway nothing that stays."""

import asyncio
from uuid import UUID, uuid4

import httpx
import psutil
import pytest

from testkit import OpenStack, User
from testkit.proxy import Switchboard, open_switchboard

NO_LIMITS = {"REQUESTS_PER_MINUTE_PER_USER": "0", "MAX_STREAMS_PER_USER": "0"}
ROUTES = (
    ("GET", "/api/streaming/events/{}"),
    ("GET", "/api/streaming/status/{}"),
    ("DELETE", "/api/streaming/cancel/{}"),
    ("GET", "/api/plan/plans/{}"),
    ("GET", "/api/streaming/batches/{}/events"),
    ("DELETE", "/api/streaming/batches/{}"),
)
MANY = 10_000
AT_ONCE = 50
ROOM_BYTES = 24 * 1024 * 1024


class ToNats:
    """What a gateway tells NATS, looked at on its way."""

    def __init__(self) -> None:
        self.subscriptions: list[bytes] = []
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Note the subscriptions, and change nothing."""
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        self.subscriptions += [line for line in lines if line.startswith(b"SUB ")]
        return data


async def ask_about_nothing(user: User, count: int) -> None:
    """So many ids that nobody has, over all routes."""

    async def some(first: int) -> None:
        for number in range(first, count, AT_ONCE):
            method, route = ROUTES[number % len(ROUTES)]
            answer = await user.http.request(method, route.format(uuid4()))
            assert answer.status_code == httpx.codes.NOT_FOUND, answer.text

    await asyncio.gather(*(some(first) for first in range(AT_ONCE)))


def aimed_at_nats(board: Switchboard, heard: ToNats) -> None:
    """Listen in on the gateway."""
    for proxy in board.of("NATS_URL"):
        proxy.filters = lambda: heard.feed


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_unknown_ids_leave_nothing_behind(open_stack: OpenStack) -> None:
    """No memory, no subscription, no row; NATS is not bothered, and a plan is streamed as ever."""
    heard = ToNats()
    async with open_switchboard(["gateway-1"]) as board:
        aimed_at_nats(board, heard)
        async with open_stack(NO_LIMITS, rewire=board.rewire) as stack, User.at(stack.gateway) as user:
            gateway = psutil.Process(stack.pids["gateway-1"])
            await ask_about_nothing(user, 200)  # what is made once has been made
            subscribed, before = len(heard.subscriptions), gateway.memory_info().rss
            await ask_about_nothing(user, MANY)
            assert heard.subscriptions[subscribed:] == []
            assert gateway.memory_info().rss - before < ROOM_BYTES
            assert [proxy.accepted for proxy in board.of("NATS_URL")] == [1]
            plan_id: UUID = await user.start()
            viewer = user.viewer(plan_id)
            await viewer.watch()
            assert viewer.end is not None
            assert viewer.end.name == "complete"
            assert any(str(plan_id).encode() in line for line in heard.subscriptions), "the listening bites"
