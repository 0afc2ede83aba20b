"""A running emulator, and a client that reads raw bytes off the socket."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from openrouter_emulator import Behaviour, RunningEmulator, Settings, running_emulator

FAST = Settings(
    ttft_seconds=0.0,
    tokens_per_second=100_000,
    comment_seconds=0.05,
    between_comment_seconds=0.05,
    generation_delay_seconds=0.0,
)


@pytest.fixture(scope="session")
async def emulator() -> AsyncIterator[RunningEmulator]:
    """An emulator in this loop that is shared by all tests: each matches by a session id of its own."""
    async with running_emulator(FAST) as running:
        yield running


@dataclass
class RawAnswer:
    """What came off the wire."""

    raw: bytes
    error: OSError | None
    """Set when the connection broke."""
    reads: list[tuple[float, bytes]] = field(default_factory=list)
    """What each read brought, with seconds since the request."""

    @property
    def head(self) -> bytes:
        """Status line and headers."""
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode().split("\r\n")[1:]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    @property
    def chunks(self) -> list[bytes]:
        """The HTTP chunks; an incomplete one is left out, the last one (empty) is kept."""
        rest, found = self.raw.partition(b"\r\n\r\n")[2], []
        while rest:
            size, _newline, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                break
            found.append(rest[:length])
            rest = rest[length + 2 :]
        return found

    @property
    def complete(self) -> bool:
        """Whether the last HTTP chunk came."""
        return self.chunks[-1:] == [b""]

    @property
    def body(self) -> bytes:
        if "content-length" in self.headers:
            return self.raw.partition(b"\r\n\r\n")[2]
        return b"".join(self.chunks)

    @property
    def events(self) -> list[bytes]:
        """Comments and data events, in order."""
        return [event for event in self.body.split(b"\n\n") if event]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The parsed data events but [DONE]."""
        return [orjson.loads(event[6:]) for event in self.events if event.startswith(b"data: {")]

    @property
    def content(self) -> str:
        """The text of the stream's deltas."""
        deltas = (d["choices"][0]["delta"] for d in self.documents if d.get("choices"))
        return "".join(delta.get("content") or "" for delta in deltas if delta)


class Asker:
    """Sends one request on a connection of its own."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self.emulator = emulator
        self.session_id = str(uuid.uuid4())

    def behave(self, behaviour: dict[str, Any], times: int | None = 1) -> None:
        """For this test's requests only."""
        self.emulator.behave(Behaviour.model_validate(behaviour), times=times, session_id=self.session_id)

    async def open(
        self, prompt: str = "Tell me about kayaking", *, headers: dict[str, str] | None = None, **members: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send the request, read nothing. Headers given as empty are left out."""
        body = {
            "model": "openai/gpt-4.1-mini",
            "messages": [{"role": "user", "content": prompt}],
            "stream": True,
            "session_id": self.session_id,
            **members,
        }
        return await self.send("POST", "/chat/completions", orjson.dumps(body), headers)

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Any request below the base URL."""
        url = urlsplit(self.emulator.base_url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        lines = {"Host": url.netloc, "Authorization": "Bearer sk-or-v1-test", "Connection": "close"}
        lines |= {"Content-Length": str(len(body))} | (headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        writer.write(f"{method} {url.path}{path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return reader, writer

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> RawAnswer:
        """Read to the end of the connection."""
        start, raw, reads = time.monotonic(), bytearray(), []
        error: OSError | None = None
        try:
            async with asyncio.timeout(10):
                while data := await reader.read(65_536):
                    raw += data
                    reads.append((time.monotonic() - start, data))
        except ConnectionError as broken:
            error = broken
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        return RawAnswer(bytes(raw), error, reads)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> RawAnswer:
        """A GET below the base URL."""
        return await self.read(*await self.send("GET", path, headers=headers))

    async def __call__(self, prompt: str = "Tell me about kayaking", **members: Any) -> RawAnswer:
        """Ask and read to the end."""
        return await self.read(*await self.open(prompt, **members))


@pytest.fixture
def ask(emulator: RunningEmulator) -> Asker:
    """Asks the shared emulator with a session id of its own."""
    return Asker(emulator)
