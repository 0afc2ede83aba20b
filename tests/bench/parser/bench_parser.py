"""Time per chunk of the streaming parser, beside what else shows a document while it arrives, all in one run.

    python tests/bench/parser/bench_parser.py [--json] [--chunk 4] [--seconds 5]

Method: documents shaped like plans are cut into chunks of `--chunk` characters. Times are the process's CPU time, so
that others on the machine disturb less. The incremental parsers (ours, ijson) are fed chunk by chunk; a run's figure
is its time divided by its chunks; the table has the median and the best of several runs. Others (jiter,
partial-json-parser) know no chunks: to show the document after each, one parses all that has come so far again, and
the figure is the mean time of that. Where all prefixes would take longer than `--seconds`, evenly spread ones stand
for all, and the output says how many. Their input is put together beforehand and costs them nothing.

ijson tells the events of whole tokens, in its fastest backend; it keeps no document and shows no growing strings.
"""

import argparse
import gc
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import ijson  # type: ignore[import-untyped]  # it has no types
import jiter
from partial_json_parser import loads as partial_loads  # type: ignore[import-untyped]  # it does not mark its types

from generator.plan_parser import StreamingJSONParser

WORDS = ["run", "stretch", "review", "plan", "draft", "the", "a", "of", "and", "with", "focus", "on", "steady", "pace"]
WORDS += [
    "while",
    "keeping",
    "notes",
    "short",
    "café",
    "then",
    "rest",
    "prepare",
    "materials",
    "for",
    "monday's",
    '"two"',
]
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SIZES = {"7 KB": (4, 1), "25 KB": (4, 5), "180 KB": (4, 33), "5 MB": (111, 33)}  # weeks, tasks a day
OURS = "StreamingJSONParser"
MOST_RUNS = 99
FEWEST_PREFIXES = 25
LONGEST_PARTIAL = (
    1_000_000  # partial-json-parser's time grows faster than the text: beyond, one parse takes many seconds
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One parser's time on one document."""

    document: str
    chars: int
    chunks: int
    parser: str
    us_per_chunk: float  # median, or mean for those that parse again
    best_us_per_chunk: float
    ratio: float
    sampled: int | None  # prefixes measured, when not all of them


def plan(weeks: int, tasks: int) -> dict[str, Any]:
    """A document shaped like a plan; the same one every time."""
    rng = random.Random(weeks * 1000 + tasks)

    def text(words: int) -> str:
        return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."

    def task() -> dict[str, str]:
        return {"description": text(18), "focus_area": text(2), "start_time": "09:00", "end_time": "10:00"}

    def week(number: int) -> dict[str, Any]:
        daily = {day: [task() for _ in range(tasks)] for day in DAYS}
        return {"week": number, "focus": text(8), "goals": [text(9) for _ in range(3)], "daily_tasks": daily}

    return {"monthly_summary": text(60), "weekly_breakdown": [week(number + 1) for number in range(weeks)]}


def time_incremental(feed: Callable[[list[Any]], None], chunks: list[Any], seconds: float) -> tuple[float, float]:
    """Median and best over the runs of the microseconds a chunk."""
    runs: list[float] = []
    deadline = time.process_time() + seconds
    while len(runs) < 3 or (time.process_time() < deadline and len(runs) < MOST_RUNS):
        gc.collect()
        began = time.process_time()
        feed(chunks)
        runs.append((time.process_time() - began) / len(chunks) * 1e6)
    return statistics.median(runs), min(runs)


def feed_ours(chunks: list[str]) -> None:
    """The parser under test."""
    parser = StreamingJSONParser(max_chars=10**9)
    for chunk in chunks:
        parser.add_chunk(chunk)
    parser.close()


def feed_ijson(chunks: list[bytes]) -> None:
    """ijson's push interface: events go into a list that is emptied after each chunk."""
    events: Any = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events)
    for chunk in chunks:
        parser.send(chunk)
        del events[:]
    parser.close()


def parse_jiter(prefix: str | bytes) -> object:
    """jiter's partial mode, with the open string's text."""
    assert isinstance(prefix, bytes)
    return jiter.from_json(prefix, partial_mode="trailing-strings")


def parse_partial(prefix: str | bytes) -> object:
    """partial-json-parser, which takes text."""
    assert isinstance(prefix, str)
    return partial_loads(prefix)


def time_reparsing(
    parse: Callable[[str | bytes], object], text: str, *, encode: bool, chunk: int, seconds: float
) -> tuple[float, int | None]:
    """Mean microseconds to parse the prefix after each chunk, and how many prefixes stood for all of them."""

    def time_prefixes(ends: list[int]) -> float:
        prefixes = [text[:end].encode() if encode else text[:end] for end in ends]
        began = time.process_time()
        for prefix in prefixes:
            parse(prefix)
        return time.process_time() - began

    ends = range(chunk, len(text) + chunk, chunk)
    half = min(time_prefixes([len(text) // 2]) for _ in range(3))
    count = min(len(ends), max(FEWEST_PREFIXES, int(seconds / half)))
    # The middles of `count` equal stretches, some megabytes of prefixes at a time.
    chosen = [ends[(2 * n + 1) * len(ends) // (2 * count)] for n in range(count)]
    batch = max(1, 4_000_000 // len(text))
    total = sum(time_prefixes(chosen[at : at + batch]) for at in range(0, count, batch))
    return total / count * 1e6, None if count == len(ends) else count


def measure(name: str, text: str, chunk: int, seconds: float) -> list[Figure]:
    """All parsers on one document."""
    chunks = [text[at : at + chunk] for at in range(0, len(text), chunk)]
    encoded = [piece.encode() for piece in chunks]
    ours = time_incremental(feed_ours, chunks, seconds)
    ijson_push = time_incremental(feed_ijson, encoded, seconds)
    jiter_partial, sampled = time_reparsing(parse_jiter, text, encode=True, chunk=chunk, seconds=seconds)
    rows: list[tuple[str, float, float, int | None]] = [
        (OURS, *ours, None),
        (f"ijson push ({ijson.backend_name})", *ijson_push, None),
        ("jiter partial mode", jiter_partial, jiter_partial, sampled),
    ]
    if len(text) <= LONGEST_PARTIAL:
        partial, sampled = time_reparsing(parse_partial, text, encode=False, chunk=chunk, seconds=seconds)
        rows.append(("partial-json-parser", partial, partial, sampled))
    return [
        Figure(name, len(text), len(chunks), parser, round(us, 3), round(best, 3), round(us / ours[0], 2), sampled)
        for parser, us, best, sampled in rows
    ]


def print_table(figures: list[Figure], chunk: int) -> None:
    """The figures for people."""
    print(f"Python {platform.python_version()}, {platform.machine()}, chunks of {chunk} characters; µs per chunk\n")
    print(f"{'document':<9}{'chars':>10}  {'parser':<22}{'median':>11}{'best':>11}{'ratio':>11}  measured")
    for f in figures:
        times = f"{f.us_per_chunk:>11,.2f}{f.best_us_per_chunk:>11,.2f}{f.ratio:>10,.1f}x"
        measured = "every chunk" if f.sampled is None else f"sampled: {f.sampled:,} of {f.chunks:,} prefixes"
        print(f"{f.document:<9}{f.chars:>10,}  {f.parser:<22}{times}  {measured}")
    print(f"\npartial-json-parser is left out beyond {LONGEST_PARTIAL:,} characters: a parse takes seconds there.")
    best = {f.document: f.best_us_per_chunk for f in figures if f.parser == OURS}
    print(f"{OURS}, best of 5 MB against best of 7 KB: {best['5 MB'] / best['7 KB']:.2f}x")


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description="Time per chunk of the streaming parser, beside others.")
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options.add_argument("--chunk", type=int, default=4, help="characters in a chunk")
    options.add_argument("--seconds", type=float, default=3.0, help="time for one parser on one document, about")
    arguments = options.parse_args()
    figures: list[Figure] = []
    for name, (weeks, tasks) in SIZES.items():
        text = json.dumps(plan(weeks, tasks), ensure_ascii=False)
        figures += measure(name, text, arguments.chunk, arguments.seconds)
    if arguments.json:
        json.dump([asdict(figure) for figure in figures], sys.stdout, indent=2)
        print()
    else:
        print_table(figures, arguments.chunk)


if __name__ == "__main__":
    main()
