"""What the load client makes of a stream that is not as it should be."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from planbench.native import ClientResult, Programs, run_client

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Event = tuple[str, int, Any]
TOKENS = range(8, 28)


def in_base_36(value: int, digits: int) -> str:
    """A number as the markers have it."""
    return "".join(DIGITS[value // 36**place % 36] for place in reversed(range(digits)))


def good() -> list[Event]:
    """A whole stream: five texts to an event."""
    stamp = in_base_36(time.monotonic_ns() // 1000, 9)
    texts = ["".join(f"@{stamp[at : at + 3]}" for at in (0, 3, 6))] + [f"~{in_base_36(n, 3)}" for n in TOKENS]
    pieces = ["".join(texts[at : at + 5]) for at in range(0, len(texts), 5)]
    ops = [[{"op": "append", "path": "/monthly_summary", "value": piece}] for piece in pieces]
    progress: list[Event] = [("progress", seq, {"ops": each}) for seq, each in enumerate(ops, 1)]
    whole = ("complete", len(pieces) + 1, {"plan": {"monthly_summary": "".join(pieces)}})
    return [("connected", 0, {"planId": "p"}), ("snapshot", 0, {"plan": None}), *progress, whole]


def without_an_event(events: list[Event]) -> None:
    """One is lost."""
    del events[4]


def without_a_text(events: list[Event]) -> None:
    """The numbers go on, but a text was dropped on the way."""
    value = events[3][2]["ops"][0]
    value["value"] = value["value"].replace("~00e", "")


def out_of_order(events: list[Event]) -> None:
    """Two have changed places."""
    events[3], events[4] = events[4], events[3]


def twice(events: list[Event]) -> None:
    """One comes again."""
    events.insert(4, events[3])


def without_an_end(events: list[Event]) -> None:
    """It just closes."""
    events.pop()


def ended_twice(events: list[Event]) -> None:
    """The end comes again."""
    events.append(events[-1])


def with_another_document(events: list[Event]) -> None:
    """What is stored is not what was shown."""
    plan = events[-1][2]["plan"]
    plan["monthly_summary"] = plan["monthly_summary"][:-4] + "~0zz"


def back(events: list[Event]) -> None:
    """A state comes again that the viewer was shown before."""
    events.insert(4, ("snapshot", 1, {"plan": {"monthly_summary": events[2][2]["ops"][0]["value"]}}))


def lost_before_it_was_stored(events: list[Event]) -> None:
    """The same text is missing from what is shown and from what is stored."""
    without_a_text(events)
    plan = events[-1][2]["plan"]
    plan["monthly_summary"] = plan["monthly_summary"].replace("~00e", "")


def encode(events: list[Event]) -> bytes:
    """As the gateway writes them, in chunks that end in the middle of events."""
    frames = [f"id: 1.{seq}\nevent: {name}\ndata: {orjson.dumps(data).decode()}\n\n" for name, seq, data in events]
    body = "".join(frames).encode()
    pieces = [body[at : at + 37] for at in range(0, len(body), 37)]
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def follow(programs: Programs, events: list[Event]) -> ClientResult:
    """One viewer of a server that says exactly this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(encode(events))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await run_client(programs, mode="watch", port=port, seconds=5, marked=len(TOKENS))


async def test_a_whole_stream(programs: Programs) -> None:
    """Nothing is lost of a stream that is as it should be, and every text is counted once."""
    client = await follow(programs, good())
    assert client.lost == 0
    assert client.counts["texts"] == client.histograms["lag"].count == len(TOKENS)
    assert (client.counts["completed"], client.counts["snapshots"]) == (1, 1)


@pytest.mark.parametrize(
    ("spoil", "counted"),
    [
        (without_an_event, "outOfOrder"),
        (without_an_event, "documentsDifferent"),
        (without_a_text, "documentsDifferent"),
        (out_of_order, "outOfOrder"),
        (out_of_order, "markersLost"),
        (twice, "outOfOrder"),
        (twice, "markersLost"),
        (without_an_end, "broken"),
        (back, "outOfOrder"),
        (lost_before_it_was_stored, "markersLost"),
        (ended_twice, "repeatedEnds"),
        (with_another_document, "documentsDifferent"),
    ],
)
async def test_what_is_wrong_is_counted(programs: Programs, spoil: Callable[[list[Event]], None], counted: str) -> None:
    """Every way in which a stream can fall short is seen by the client."""
    events = good()
    spoil(events)
    client = await follow(programs, events)
    assert client.counts[counted] > 0
    assert client.lost > 0
