"""Bodies that are meant to cost more than they should, or to be read in two ways."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from local_stack import Stack
from testkit import User
from testkit.raw_http import ask, everything, parse, request

DEEP = 100_000
# Members of inputs that are otherwise good.
ODD: dict[str, bytes] = {
    "deep lists": b'"goals": ' + b"[" * DEEP,
    "deep lists that end": b'"goals": ' + b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'"goals": ' + b'{"a":' * 12_000,
    "as deep as the parser goes": b'"goals": ' + b"[" * 1000 + b"]" * 1000,
    "as deep as the model goes": b'"goals": ' + b"[" * 190 + b"]" * 190,
    "NaN": b'"goals": "x", "availableHours": {"monday": NaN}',
    "infinity": b'"goals": "x", "availableHours": {"monday": Infinity}',
    "a huge float": b'"goals": "x", "availableHours": {"monday": 1e400}',
    "a number just below zero": b'"goals": "x", "availableHours": {"monday": -1e-300}',
    "a number of 50,000 digits": b'"goals": "x", "weeks": ' + b"4" * 50_000,
    "a fraction of 50,000 digits": b'"goals": "x", "weeks": 4.' + b"0" * 50_000,
    "a leading zero": b'"goals": "x", "weeks": 04',
    "2 to the 64": b'"goals": "x", "weeks": 18446744073709551616',
    "a flag as a number": b'"goals": "x", "weeks": true',
    "invalid UTF-8": b'"goals": "\xff\xfe"',
    "overlong UTF-8": b'"goals": "\xc0\xaf"',
    "a surrogate in UTF-8": b'"goals": "\xed\xa0\x80"',
    "a bare control character": b'"goals": "a\x01b"',
    "a comment": b'"goals": "x" /* y */',
    "a comma too many": b'"goals": "x",',
    "ten thousand keys": b'"goals": "x", ' + b", ".join(b'"k%d": 1' % each for each in range(5000)),
    "a huge key": b'"goals": "x", "' + b"k" * 60_000 + b'": 1',
    "a prototype": b'"goals": "x", "__proto__": {"userId": "y"}',
    "our own name for a field": b'"goals": "x", "focus_areas": ["y"]',
}


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[User]:
    """Somebody of the test's own."""
    async with User.at(stack.gateway) as somebody:
        yield somebody


async def refused(user: User, content: bytes, status: int, code: str, **headers: str) -> dict[str, Any]:
    """The refusal of inputs, which came soon and is short."""
    began = time.monotonic()
    sent = {"Content-Type": "application/json", **headers}
    answer = await user.http.post("/api/plan/inputs", content=content, headers=sent)
    assert time.monotonic() - began < 5
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert len(answer.content) < 8000, "an answer does not repeat what it was sent"
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parametrize("member", ODD.values(), ids=ODD)
async def test_odd_json(user: User, member: bytes) -> None:
    """Refused at once, by its size or as what it is."""
    content = b'{"userId": "%b", %b}' % (str(user.id).encode(), member)
    large = len(content) > 64 * 1024
    await refused(user, content, *((413, "payload_too_large") if large else (422, "invalid_input")))


@pytest.mark.parametrize("path", ["/api/streaming/generate-plan", "/api/plan/generate", "/api/streaming/batches"])
async def test_odd_json_on_every_route_that_starts(user: User, path: str) -> None:
    """The same for the bodies that hold ids: deep, huge, and no ids at all."""
    name, many = ("preferenceIds", True) if path.endswith("batches") else ("preferenceId", False)
    for value in (b"[" * 60_000, b"9" * 60_000, b'"' + b"a" * 60_000 + b'"', b"1e999", b"{}", b'"\\u0000"', b"[null]"):
        content = b'{"%b": %b}' % (name.encode(), b"[" + value + b"]" if many else value)
        answer = await user.http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text
        assert len(answer.content) < 8000


async def test_a_key_that_is_given_twice_says_one_thing(user: User) -> None:
    """The last one counts, for who asks as for what is stored: nobody is asked for another's."""
    other = "7d0e8f4c-52a4-4f3e-9a70-3c1b8f1f1a01"
    twice = b'{"goals": "first", "userId": "%b", "goals": "second", "userId": "%b"}'
    headers = {"Content-Type": "application/json"}
    mine = twice % (other.encode(), str(user.id).encode())
    answer = await user.http.post("/api/plan/inputs", content=mine, headers=headers)
    assert answer.status_code == httpx.codes.CREATED
    assert (await user.get(f"/api/plan/inputs/{answer.json()['preferenceId']}"))["goals"] == "second"
    theirs = twice % (str(user.id).encode(), other.encode())
    await refused(user, theirs, 403, "forbidden")


async def test_a_compressed_body_is_not_unpacked(user: User) -> None:
    """A few bytes that would become a gigabyte are a few bytes that are no JSON."""
    for coding in ("gzip", "deflate", "br", "gzip, gzip"):
        packed = gzip.compress(b" " * 10_000_000)
        await refused(user, packed, 422, "invalid_input", **{"Content-Encoding": coding})


@pytest.mark.parametrize(
    "media_type",
    ["", "text/json", "application/json, text/plain", "application/jsonx", "multipart/form-data", "a/b+xml"],
)
async def test_other_kinds_of_body(user: User, media_type: str) -> None:
    """What does not call itself JSON is not read as such."""
    content = b'{"userId": "%b", "goals": "x"}' % str(user.id).encode()
    await refused(user, content, 415, "unsupported_media_type", **{"Content-Type": media_type})


async def test_a_body_without_end_is_cut_off(stack: Stack, user: User) -> None:
    """Chunk after chunk: 413 after the limit, whatever was announced, and the connection ends."""
    parts = urlsplit(stack.gateway)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = (f"X-User-Id: {user.id}", "Content-Type: application/json", "Transfer-Encoding: chunked")
    writer.write(request("POST", "/api/plan/inputs", *lines))
    sent = 0
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            while sent < 200_000_000 and not reader.at_eof():
                writer.write(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
                sent += 0x2000
                await writer.drain()
    assert sent < 50_000_000
    received = await everything(reader)
    writer.close()
    if received:
        assert parse(received).problem["code"] == "payload_too_large"


@pytest.mark.parametrize("length", ["99999999999999", "18446744073709551615", "65537"])
async def test_a_length_that_is_too_much_is_not_waited_for(stack: Stack, user: User, length: str) -> None:
    """The answer comes before the body."""
    lines = (f"X-User-Id: {user.id}", "Content-Type: application/json", f"Content-Length: {length}")
    answer = await ask(stack.gateway, request("POST", "/api/plan/inputs", *lines), seconds=8)
    assert answer.problem["code"] == "payload_too_large"


@pytest.mark.full
async def test_a_body_that_does_not_come_is_not_waited_for_long(stack: Stack, user: User) -> None:
    """Ten seconds, and the connection with it; another request is answered meanwhile."""
    lines = (f"X-User-Id: {user.id}", "Content-Type: application/json", "Content-Length: 100")
    began = time.monotonic()
    slow = asyncio.create_task(ask(stack.gateway, request("POST", "/api/plan/inputs", *lines)))
    assert (await user.http.get("/api/plan/quota")).status_code == httpx.codes.OK
    assert not slow.done()
    answer = await slow
    assert answer.problem["code"] == "invalid_input"
    assert 9 < time.monotonic() - began < 15
