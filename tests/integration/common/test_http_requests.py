"""What a client may send before it is anybody's request: bounded in time and in bytes, whatever it dribbles."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from common.http_protocol import BoundedHttpProtocol
from common.http_requests import MAX_HEAD_BYTES, MAX_HEADERS, MAX_REST_BYTES
from testkit.raw_http import everything
from testkit.serving import serving

HEAD_SECONDS = 0.4
SECONDS = 5.0
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Impatient(BoundedHttpProtocol):
    """The same, sooner."""

    head_seconds = HEAD_SECONDS


class Answers:
    """Answers at once, without a look at the body; two paths do more.

    `/stream` begins an answer and keeps it open; `/echo` reads the body first, and answers with the headers.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.asked.append(scope["path"])
        if scope["path"] == "/echo":
            while (await receive()).get("more_body"):
                pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        said = b"".join(name + b"=" + value + b"," for name, value in scope["headers"])
        await send({"type": "http.response.body", "body": said if scope["path"] == "/echo" else b"done"})


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        """Write, unless it is closed already."""
        if not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until there is room for more, or nobody there to take it."""
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        await asyncio.sleep(0)

    async def until(self, expected: bytes) -> bytes:
        """Read up to these bytes."""
        async with asyncio.timeout(SECONDS):
            return await self._reader.readuntil(expected)

    async def rest(self, dribble: bytes = b"") -> bytes:
        """All that comes until the server closes, while bytes are sent all along."""
        reading = asyncio.create_task(everything(self._reader))
        async with asyncio.timeout(SECONDS):
            while not reading.done():
                if dribble:
                    self.send(dribble)
                await asyncio.wait({reading}, timeout=HEAD_SECONDS / 20)
        return await reading


@pytest.fixture
def app() -> Answers:
    """What the requests reach, if they do."""
    return Answers()


@pytest.fixture
async def url(app: Answers) -> AsyncIterator[str]:
    """Where it is served."""
    async with serving(app, "off", http=Impatient) as served:
        yield served


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A connection to it."""
    parts = httpx.URL(url)
    reader, writer = await asyncio.open_connection(parts.host, parts.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def problem(answer: bytes, status: int) -> dict[str, Any]:
    """The answer is one problem document, and the end of the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\ncontent-type: application/problem+json" in head
    assert b"\r\nconnection: close" in head
    document: dict[str, Any] = json.loads(body)
    assert document["status"] == status
    return document


async def test_a_connection_on_which_nothing_is_said_is_closed(url: str) -> None:
    """Without a word: there was no request."""
    async with connected(url) as client:
        assert await client.rest() == b""


@pytest.mark.parametrize("dribble", [b"a", b"X-A: b\r\n", b"\r\n"], ids=["a header", "headers", "empty lines"])
async def test_a_head_that_does_not_end_is_refused_in_time(url: str, app: Answers, dribble: bytes) -> None:
    """However steadily it is dribbled; and others are served meanwhile."""
    async with connected(url) as client, httpx.AsyncClient() as other:
        client.send(b"" if dribble == b"\r\n" else HEAD)
        ended = asyncio.create_task(client.rest(dribble))
        assert (await other.get(url)).text == "done"
        answer = await ended
    if dribble == b"\r\n":
        assert answer == b""
    else:
        assert "not complete after" in problem(answer, 408)["detail"]
    assert app.asked == ["/"]


async def test_a_kept_connection_is_waited_for_as_long_as_a_new_one(url: str, app: Answers) -> None:
    """The second request's head has the same bound as the first's."""
    async with connected(url) as client:
        client.send(HEAD + b"\r\n")
        await client.until(b"0\r\n\r\n")
        client.send(HEAD)
        problem(await client.rest(b"a"), 408)
    assert app.asked == ["/"]


async def test_a_body_that_comes_after_its_answer_does_not_hold_the_connection(url: str) -> None:
    """It was announced, nobody reads it, and it never ends."""
    async with connected(url) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        await client.until(b"4\r\ndone\r\n0\r\n\r\n")
        assert await client.rest(b"a") == b""


async def test_requests_in_a_row_are_answered_however_long_the_row_takes(url: str, app: Answers) -> None:
    """The bound is on each head."""
    async with connected(url) as client:
        for _ in range(10):
            client.send(HEAD)
            await asyncio.sleep(HEAD_SECONDS / 5)
            client.send(b"\r\n")
            await client.until(b"0\r\n\r\n")
    assert len(app.asked) == 10


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-A: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        HEAD + b"X-A: " + b"a" * 600_000,
        b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n",
        HEAD + b"X-A: b\r\n" * MAX_HEADERS + b"\r\n",
        HEAD + b"a: b\r\n" * 100_000,
    ],
    ids=["long", "endless", "long path", "many", "very many"],
)
async def test_a_large_head_is_refused(url: str, app: Answers, head: bytes) -> None:
    """Whole or not; nothing hears of it."""
    async with connected(url) as client:
        client.send(head)
        answer = await client.rest()
    assert app.asked == []
    # What had not been read when the connection was closed may reset it, before the answer was read.
    if answer:
        assert problem(answer, 431)["code"] == "payload_too_large"


async def test_a_head_within_the_bounds_passes(url: str) -> None:
    """As many headers as are allowed, and nearly as many bytes."""
    async with connected(url) as client:
        client.send(HEAD + b"X-A: " + b"a" * 500 + b"\r\n")
        client.send((b"X-A: " + b"a" * 500 + b"\r\n") * (MAX_HEADERS - 2) + b"\r\n")
        assert (await client.until(b"\r\n")).startswith(b"HTTP/1.1 200")


AMBIGUOUS = {
    "no HTTP": b"\x16\x03\x01 hello\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    "a list of lengths": HEAD + b"Content-Length: 4, 4\r\n\r\nabcd",
    "a signed length": HEAD + b"Content-Length: +4\r\n\r\nabcd",
    "a huge length": HEAD + b"Content-Length: %d\r\n\r\nabcd" % 10**30,
    "a length and chunks": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding that we do not undo": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": HEAD + b"X-A: b\r\n c\r\n\r\n",
    "bare line feeds": HEAD.replace(b"\r\n", b"\n") + b"\n",
    "a bare carriage return": HEAD + b"X-A: b\rX-User-Id: c\r\n\r\n",
    "NUL": HEAD + b"X-A: b\0c\r\n\r\n",
    "a space before the colon": HEAD + b"X-A : b\r\n\r\n",
    "no name": HEAD + b": b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + b"Host: y\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a host that does not end": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "a host in other letters": b"GET / HTTP/1.1\r\nHost: \xe2\x91\xa0.com\r\n\r\n",
    "a version to come": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "a version long gone": b"GET /\r\n\r\n",
    "a path in other letters": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path with a space": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("request_", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_could_be_read_in_two_ways_is_not_read(
    url: str, app: Answers, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is answered with a problem and ends the connection. It is not logged: strangers could fill a disk."""
    async with connected(url) as client:
        client.send(request_ + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        assert problem(await client.rest(), 400)["code"] == "invalid_input"
    assert app.asked == []
    assert caplog.records == []


@pytest.mark.parametrize("host", [b"x", b"a_b.example:80", b"[::1]:8080", b"127.0.0.1", b""])
async def test_a_host_is_a_host(url: str, host: bytes) -> None:
    """Names, addresses and, where there is none, nothing (RFC 9112 section 3.2)."""
    async with connected(url) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert (await client.until(b"\r\n")).startswith(b"HTTP/1.1 200")


async def test_white_space_around_a_value_is_none_of_it(url: str) -> None:
    """On either side, spaces and tabs; within, they stay."""
    async with connected(url) as client:
        client.send(b"GET /echo HTTP/1.1\r\nHost: x\r\nX-A:\t a \tb \t\r\nX-B: \t\r\n\r\n")
        assert b"x-a=a \tb,x-b=," in await client.until(b"0\r\n\r\n")


CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n"


async def test_a_trailer_is_no_header(url: str) -> None:
    """What comes after the body does not change who is asking, though the application looks at it only then."""
    async with connected(url) as client:
        client.send(CHUNKED + b"0\r\nX-User-Id: somebody-else\r\n\r\n")
        answer = await client.until(b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"host=x,transfer-encoding=chunked," in answer
    assert b"somebody-else" not in answer


@pytest.mark.parametrize(
    ("begin", "more"),
    [(b"", b"4\r\nabcd\r\n"), (b"1;", b"a" * 10), (b"0\r\nX-A: ", b"a" * 10), (b"0\r\n", b"X-A: b\r\n")],
    ids=["chunks", "an extension", "a trailer", "trailers"],
)
async def test_chunks_without_end_are_cut_off(url: str, begin: bytes, more: bytes) -> None:
    """Also what an application does not see of them."""
    size, more = 0, more * 10_000
    async with connected(url) as client:
        client.send(CHUNKED + begin)
        ended = asyncio.create_task(client.rest())
        while not ended.done():
            assert size < 4 * MAX_REST_BYTES
            client.send(more)
            size += len(more)
            await client.drain()
        answer = await ended
    assert answer == b"" or problem(answer, 413)["code"] == "payload_too_large"


async def test_garbage_does_not_get_into_an_answer_that_has_begun(url: str, app: Answers) -> None:
    """The connection ends; what had been written of the answer is all that there is."""
    async with connected(url) as client:
        client.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.until(b"begun\r\n")
        client.send(b"\x00\x01\x02 garbage\r\n\r\n")
        assert await client.rest() == b""
    assert app.asked == ["/stream"]
