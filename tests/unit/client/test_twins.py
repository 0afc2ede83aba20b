"""The blocking client is the one for asyncio without the waiting's words."""

from pathlib import Path

import planstream_client.aio
import planstream_client.blocking

WORDS = (
    ("The client for asyncio.", "The client for programs that wait: `aio` without its words for waiting."),
    ("import asyncio\nimport random", "import random\nimport time"),
    ("AsyncGenerator", "Generator"),
    ("AsyncWatch", "Watch"),
    ("AsyncPlanstream", "Planstream"),
    ("httpx.AsyncClient", "httpx.Client"),
    ("async with", "with"),
    ("async for", "for"),
    ("async def", "def"),
    ("await asyncio.sleep", "time.sleep"),
    ("await ", ""),
    ("__aenter__", "__enter__"),
    ("__aexit__", "__exit__"),
    ("__aiter__", "__iter__"),
    ("aclosing", "closing"),
    ("aclose", "close"),
    ("aread", "read"),
    ("aiter_bytes", "iter_bytes"),
)  # fmt: skip


def blocking(source: str) -> str:
    """The text of `blocking.py` for one of `aio.py`."""
    for word, other in WORDS:
        source = source.replace(word, other)
    return source


def test_the_two_clients_are_one() -> None:
    """What one of them can, the other can: the files differ in these words alone."""
    aio, twin = (Path(module.__file__ or "") for module in (planstream_client.aio, planstream_client.blocking))
    made = blocking(aio.read_text())
    assert twin.read_text() == made, f"copy this to {twin.name}:\n{made}"
