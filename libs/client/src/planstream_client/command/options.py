"""What the command takes."""

import argparse
import os
from pathlib import Path

EPILOG = """\
exit codes: 0 completed or done, 1 the plan failed, 2 wrong usage, 3 the plan was stopped, 4 refused by the server,
5 the server cannot be reached, 130 ended by a second Ctrl-C (the first one stops the plan, and waits for its end).

examples:
  planstream generate "Run 10 km without a break" --weeks 4
  planstream generate "Learn to juggle" --json | jq -r .event
  planstream watch 6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac
  PLANSTREAM_URL=https://plans.example.com PLANSTREAM_TOKEN=… planstream check
"""


def parser() -> argparse.ArgumentParser:
    """All subcommands."""
    made = argparse.ArgumentParser(
        prog="planstream",
        description="Plans from a terminal: start them, watch them being written, stop them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--url",
        default=os.environ.get("PLANSTREAM_URL", "http://127.0.0.1:8080"),
        help="the gateway (PLANSTREAM_URL; default %(default)s)",
    )
    made.add_argument(
        "--user",
        default=os.environ.get("PLANSTREAM_USER"),
        help="in development: who you are, a UUID (PLANSTREAM_USER)",
    )
    made.add_argument("--token-file", type=Path, help="a file that holds the access token; else PLANSTREAM_TOKEN")
    made.add_argument("--json", action="store_true", help="JSON for scripts: a line for each event or answer")
    commands = made.add_subparsers(dest="command", required=True, metavar="command")
    _add_generate(commands)
    for name, what in (
        ("watch", "watch a plan to its end"),
        ("status", "say how a plan stands"),
        ("cancel", "stop a plan"),
        ("show", "print a stored plan"),
        ("delete", "erase a plan everywhere"),
    ):
        commands.add_parser(name, help=what).add_argument("plan", help="the planId")
    listing = commands.add_parser("plans", help="list the newest plans")
    listing.add_argument("--limit", type=int, default=20)
    commands.add_parser("quota", help="say what is left of the month")
    batch = commands.add_parser("batch", help="start a plan for each of several goals, and print their ids")
    batch.add_argument("goals", nargs="+", help="up to 20")
    commands.add_parser("check", help="start a plan, stop it, and say whether model, stream and proxies do their part")
    return made


def _add_generate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    generate = commands.add_parser("generate", help="write a plan, and watch it being written")
    generate.add_argument("goals", help="what you want to reach")
    generate.add_argument(
        "--focus", action="append", default=[], metavar="AREA", help="a focus area; may be given several times"
    )
    generate.add_argument("--hours", type=float, default=2.0, help="a day (default %(default)s)")
    generate.add_argument("--weeks", type=int, choices=(4, 5), default=4)
    generate.add_argument("--ambition", choices=("simple", "balanced", "ambitious"), default="balanced")
    generate.add_argument("--sync", action="store_true", help="in one answer, without the stream")


def token_of(arguments: argparse.Namespace) -> str | None:
    """The access token, from its file or the environment.

    Raises:
        OSError: the file cannot be read.
    """
    if arguments.token_file is not None:
        return str(arguments.token_file.read_text().strip())
    return os.environ.get("PLANSTREAM_TOKEN")
