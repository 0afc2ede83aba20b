"""Clients that dribble: each is given up in bounded time, and nobody waits for them meanwhile."""

import asyncio
import time
from urllib.parse import urlsplit

import httpx
import pytest

from common.http_requests import HEAD_SECONDS
from local_stack import Stack
from testkit import User
from testkit.raw_http import everything, parse

pytestmark = pytest.mark.full

CLIENTS = 300
# What is said first, what is dribbled, and what the answer is, if there is one.
DRIBBLES = {
    "nothing": (b"", b"", 0),
    "empty lines": (b"", b"\r\n", 0),
    "a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"a", 408),
    "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-A: b\r\n", 408),
    "a body that is not read": (b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"a", 405),
}


async def dribble(url: str, first: bytes, more: bytes) -> tuple[float, int]:
    """Send until the server closes; how long that took, in seconds, and what it said."""
    began = time.monotonic()
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    reading = asyncio.create_task(everything(reader))
    writer.write(first)
    while not reading.done():
        writer.write(more)
        await asyncio.wait({reading}, timeout=0.5)
    writer.close()
    return time.monotonic() - began, parse(await reading).status


@pytest.mark.parametrize(("first", "more", "status"), DRIBBLES.values(), ids=DRIBBLES)
async def test_dribbling_clients_are_given_up(stack: Stack, first: bytes, more: bytes, status: int) -> None:
    """All of them after their ten seconds, and a hundred requests are answered while they try."""
    slow = [asyncio.create_task(dribble(stack.gateway, first, more)) for _ in range(CLIENTS)]
    async with User.at(stack.gateway) as user:
        for _ in range(100):
            began = time.monotonic()
            assert (await user.http.get("/api/plan/quota")).status_code == httpx.codes.OK
            assert time.monotonic() - began < 5
    async with asyncio.timeout(3 * HEAD_SECONDS):
        ended = await asyncio.gather(*slow)
    assert {answer for _, answer in ended} == {status}
    assert max(seconds for seconds, _ in ended) < 2 * HEAD_SECONDS
