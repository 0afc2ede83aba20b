"""The token source and the load client against each other, with nothing between them."""

import asyncio
import re
from typing import Any

import aiohttp
import orjson
import pytest

from common.contracts.plan import validate_plan
from planbench.floor import measure_floor
from planbench.histogram import bucket_of
from planbench.native import Programs, run_client, running_source

TOKENS, RATE = 200, 400.0


async def completion(port: int) -> tuple[list[str], dict[str, Any]]:
    """The content deltas of one plan, and its usage."""
    parts: list[str] = []
    usage: dict[str, Any] = {}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{port}/api/v1/chat/completions", json={"stream": True}) as answer,
    ):
        assert answer.content_type == "text/event-stream"
        lines = (await answer.text()).split("\n\n")
    assert lines[0] == ": OPENROUTER PROCESSING"
    assert lines[-2:] == ["data: [DONE]", ""]
    for line in lines[:-2]:
        if not line.startswith(":"):
            event = orjson.loads(line.removeprefix("data: "))
            usage = event.get("usage") or usage
            parts.append(event["choices"][0]["delta"]["content"])
    return parts, usage


@pytest.mark.parametrize("tokens", [170, 500, 1500, 6000])
async def test_every_length_is_a_valid_plan(programs: Programs, tokens: int) -> None:
    """The source writes a plan that the product accepts, in tokens of four characters, and counts them in its usage."""
    async with running_source(programs, tokens, 100_000) as source:
        parts, usage = await completion(source.port)
        stats = await source.stats()
    said = [part for part in parts if part]
    assert [len(part) for part in said] == [4] * tokens
    assert usage["completion_tokens"] == stats["tokens"] == tokens
    validate_plan(orjson.loads("".join(said)), 4)


async def test_markers_are_the_numbers_of_their_tokens(programs: Programs) -> None:
    """A token within a text is its own number to base 36, and the stamp is when the stream began."""
    async with running_source(programs, TOKENS, 100_000) as source:
        parts, _ = await completion(source.port)
        stats = await source.stats()
    marked = [(number, part) for number, part in enumerate(parts) if part.startswith("~")]
    assert all(int(part[1:], 36) == number for number, part in marked)
    assert len(marked) == stats["planMarked"]
    stamp = "".join(part[1:] for part in parts if part.startswith("@"))
    assert re.fullmatch(r"[0-9a-z]{9}", stamp)
    age = asyncio.get_running_loop().time() - int(stamp, 36) / 1e6
    assert 0 <= age < 30


async def test_the_floor(programs: Programs) -> None:
    """Every token that the source has sent is counted by the client, with a lag that is below a plan's own length."""
    floor = await measure_floor(programs, streams=10, tokens=TOKENS, rate=RATE)
    assert floor["lost"] == 0
    assert floor["tokens"] == 10 * TOKENS
    assert 0 < floor["lagMs"]["p50"] <= floor["lagMs"]["p99"] < TOKENS / RATE * 1000 * 4
    assert floor["lagMs"]["count"] > 0


async def test_a_stream_that_stands_still_is_unfinished(programs: Programs) -> None:
    """A plan that never ends is told as unfinished and counts as lost; its tokens so far are counted."""
    async with running_source(programs, TOKENS, RATE) as source:
        await source.pace(tokens=TOKENS, rate=RATE, hold=50, comment=0.05)
        client = await run_client(
            programs, mode="direct", port=source.port, starts=3, seconds=1, tokens_per_second=RATE
        )
        stats = await source.stats()
    assert client.counts["unfinished"] == client.lost == 3
    assert stats["tokens"] == 150
    assert client.counts["texts"] == stats["marked"]


async def test_both_sides_have_the_same_buckets(programs: Programs) -> None:
    """What the C side counts into a bucket lies where this side puts the least and the most value."""
    async with running_source(programs, TOKENS, RATE) as source:
        client = await run_client(
            programs, mode="direct", port=source.port, starts=5, seconds=10, tokens_per_second=RATE
        )
    lag = client.histograms["lag"]
    assert min(lag.buckets) == bucket_of(lag.least)
    assert max(lag.buckets) == bucket_of(lag.most)
    assert sum(lag.buckets.values()) == lag.count
