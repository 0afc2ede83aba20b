"""The command line of the bench."""

import argparse
import asyncio
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from planbench.cores import Cores
from planbench.document import write_capacity, write_page
from planbench.native import NativeError, build
from planbench.rig import Console
from planbench.runner import PROFILES, Bench
from planbench.scale import FULL, QUICK, SHORT, Scale
from planbench.table import text_table
from planbench.targets import lines

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = REPOSITORY / "docs" / "performance.md"
CAPACITY = REPOSITORY / "docs" / "capacity.md"


def main() -> int:
    """Measure, print the table, write what was asked for; the return value is the exit code."""
    options = _parser().parse_args()
    console = Console()
    cores = Cores.choose()
    if cores.shared:
        console.say("There is one core only: the load runs on it too, so the figures are too high.")
    try:
        with tempfile.TemporaryDirectory(prefix="planstream-bench-") as folder:
            bench = Bench(build(Path(folder)), cores, console, _scale(options))
            try:
                asyncio.run(bench.run(options.profiles or list(PROFILES)))
            finally:
                if "yardstick" in bench.results:
                    _report(bench.results, options)
    except NativeError as error:
        console.say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    measured = lines(bench.results) if "yardstick" in bench.results else []
    unsound = [line.what for line in measured if line.sound and line.met is False]
    for what in unsound:
        console.say(f"Not zero, so that the figures beside it say nothing: {what}")
    return 1 if bench.failed or unsound else 0


def _report(results: dict[str, Any], options: argparse.Namespace) -> None:
    print(text_table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.docs:
        write_page(PAGE, results)
        write_capacity(CAPACITY, results)


def _scale(options: argparse.Namespace) -> Scale:
    scale: Scale = QUICK if options.quick else SHORT if options.short else FULL
    if options.plans:
        scale = replace(scale, plans=tuple(options.plans), control=tuple(options.plans))
    if options.runs:
        scale = replace(scale, runs=options.runs, viewed_runs=options.runs)
    if options.tokens:
        scale = replace(scale, tokens=options.tokens)
    return scale


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=…",
        description="How many plans one core carries, how soon a token is seen, and what that costs beside bare ASGI.",
    )
    parser.add_argument("profiles", nargs="*", metavar="profile", help=f"of {', '.join(PROFILES)}; all by default")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a minute over everything, only to see that it runs")
    size.add_argument("--short", action="store_true", help="under three minutes")
    parser.add_argument("--plans", type=int, action="append", help="plans at once; may be given several times")
    parser.add_argument("--tokens", type=int, help="tokens of a plan")
    parser.add_argument("--runs", type=int, help="repeat what is repeated so often; medians are shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--docs", action="store_true", help="rewrite docs/performance.md, its plots, and capacity.md")
    return parser
