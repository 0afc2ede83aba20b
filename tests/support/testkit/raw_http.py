"""HTTP byte by byte, as no client library would send it."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

DEADLINE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came until the server closed the connection; `status` is 0 when that was nothing."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body as a problem document, which it must be."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        return document


async def ask(url: str, request: bytes, *, seconds: float = DEADLINE_SECONDS) -> RawAnswer:
    """Send these bytes, and read until the server closes; the request should ask for that."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        async with asyncio.timeout(seconds):
            # A server that refuses early may reset the connection while this is still being sent.
            with contextlib.suppress(ConnectionError):
                writer.write(request)
                await writer.drain()
            return parse(await everything(reader))
    finally:
        writer.close()


async def everything(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes; a reset, for what it had not read, takes nothing back."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65_536):
            received += piece
    return received


def parse(received: bytes) -> RawAnswer:
    """The first answer of a connection."""
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return RawAnswer(0, {}, b"")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    return RawAnswer(int(line.split()[1]), headers, body)


def request(method: str, path: str, *headers: str, host: str = "127.0.0.1", body: bytes = b"") -> bytes:
    """A request that ends its connection; headers as lines, in this order and spelling."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body
