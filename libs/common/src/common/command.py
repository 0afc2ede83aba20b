"""The command line that every service has: `serve` and `migrate`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from importlib.resources import files

import uvloop
from pydantic import ValidationError

from common import logs, tracing
from common.migrations import FAILURES, migrate
from common.settings import ServiceSettings, faults_of


def run(
    package: str, serve: Callable[[ServiceSettings], Awaitable[None]], settings: type[ServiceSettings], about: str
) -> int:
    """Parse the arguments and do it; the return value is the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=about)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service; settings come from the environment")
    commands.add_parser("migrate", help="bring this service's schema up to date (ADMIN_DATABASE_URL, DATABASE_URL)")
    arguments = parser.parse_args()
    if arguments.command == "migrate":
        return _migrate(package)
    try:
        loaded = settings()
    except ValidationError as error:
        faults = "".join(f"\n  {fault}" for fault in faults_of(error))
        explained = f"These settings are missing or wrong (set them in the environment):{faults}"
        print(explained, file=sys.stderr)  # noqa: T201 - the log is not set up yet
        return 2
    logs.configure(package.replace("_", "-"), loaded.log_level)
    end_tracing = tracing.configure(package.replace("_", "-"), loaded.otel_exporter_otlp_endpoint)
    try:
        uvloop.run(serve(loaded))  # type: ignore[arg-type]  # an Awaitable that is a coroutine
    except OSError as error:
        print(f"{package}: cannot listen on {loaded.host}:{loaded.port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        end_tracing()
    return 0


def _migrate(package: str) -> int:
    logs.configure(package.replace("_", "-"), "info")
    admin_url, service_url = os.environ.get("ADMIN_DATABASE_URL"), os.environ.get("DATABASE_URL")
    if not admin_url or not service_url:
        print("migrate needs ADMIN_DATABASE_URL and DATABASE_URL in the environment", file=sys.stderr)  # noqa: T201
        return 2
    try:
        asyncio.run(migrate(admin_url, service_url, package, files(package) / "migrations"))
    except FAILURES as error:
        # An OSError may be without words; its name is better than nothing.
        print(f"{package}: migrate: {error or repr(error)}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
