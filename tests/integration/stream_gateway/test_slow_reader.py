"""A viewer that does not read costs a bounded amount and still ends with the right document."""

import asyncio
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from common import fold, sse

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Gateway, Owner

# Far more than the sockets between us hold.
EVENTS = 3000
CHUNK = "x" * 3000
# A few documents, and what the kernel holds: a reader gets the present, not megabytes of what was.
MOST_BYTES = 1024 * 1024


async def _connect(url: str) -> socket.socket:
    """A connection with small buffers, so that not reading is felt at once."""
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
    return connection


def _events(body: bytes) -> list[sse.ServerSentEvent]:
    """The events of a chunked HTTP body."""
    _, _, rest = body.partition(b"\r\n\r\n")
    decoder, events = sse.Decoder(), []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        events += decoder.feed(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return events


async def test_a_slow_reader_is_conflated_and_ends_right(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """What it missed comes as one snapshot; ids only grow, and the end holds the whole document."""
    loop = asyncio.get_running_loop()
    connection = await _connect(gateway.url)
    request = (
        f"GET /api/streaming/events/{owner.plan_id}?userId={user} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    await loop.sock_sendall(connection, request.encode())
    body = await loop.sock_recv(connection, 64)
    async with gateway.watch(owner.plan_id, user) as quick:
        await quick.event("snapshot")
        await owner.say("")
        for step in range(EVENTS):
            await owner.write({"op": "replace", "path": "/monthly_summary", "value": f"{step} {CHUNK}"})
            if owner.seq % 50 == 0:
                await quick.until(lambda stream: stream.last_id == f"1.{owner.seq}")
        await owner.complete()
        assert await quick.end() == "complete"
    async with asyncio.timeout(20):
        while chunk := await loop.sock_recv(connection, 65536):
            body += chunk
    connection.close()
    events = _events(body)
    document: Any = None
    last = (0, -1)
    for event in events[1:]:
        data = orjson.loads(event.data)
        assert (data["attempt"], data["seq"]) > last
        if event.event == "progress":
            assert data["seq"] == last[1] + 1
            document = fold.apply(document, data["ops"])
        else:
            document = data["plan"]
        last = (data["attempt"], data["seq"])
    names = [event.event for event in events]
    assert names[-1] == "complete"
    assert len(body) < MOST_BYTES
    assert document == owner.document == quick.document
    assert quick.names.count("progress") == EVENTS + 1
