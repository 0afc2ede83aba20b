"""The stack behind proxies that the faults share, the seed, and the table at the end."""

import asyncio
import itertools
import random
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import uvloop

from local_stack import running_stack
from testkit.evidence import record_versions
from testkit.fault_table import Row, table, write_docs, write_json
from testkit.proxy import open_switchboard
from testkit.recovery import healthy
from testkit.scale import Pace, Scale
from testkit.secrecy import SECRET_SETTINGS, passwords_of, with_secret_key
from testkit.trial import Arena

SERVICES = ("plan-api", "generator-1", "generator-2", "gateway-1", "gateway-2")
GRACE_SECONDS = 3.0
_SETTINGS = {
    "EMULATOR_TTFT_SECONDS": "0.2",
    "DISCONNECT_GRACE_SECONDS": str(GRACE_SECONDS),
    # One test is many users here, and a storm comes from few.
    "MAX_STREAMS_PER_USER": "0",
    "REQUESTS_PER_MINUTE_PER_USER": "0",
}
# A plan takes about ten seconds; in the quick run seven, or three where nothing has to happen in its middle.
PACE = Pace(tokens_per_second=20, chars_per_token=24)
QUICK = Scale(plans=8, viewers=16, calls=2, spread=0.5, cancels=1, abandons=1, breaks=1, fails=1, patience=2)
QUICK_PACE = Pace(tokens_per_second=30, chars_per_token=24)
BRISK_PACE = Pace(tokens_per_second=60, chars_per_token=24)
_PROPERTY = "fault"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Only where this folder is named on the command line, as `make faults` does."""
    group = parser.getgroup("faults")
    group.addoption("--seed", type=int, help="repeat a run; the seed is printed with the table")
    group.addoption("--load", choices=["quick", "full"], help="full: 30 plans and 60 viewers")
    group.addoption("--table", type=Path, help="where to write the table as JSON")
    group.addoption("--write-docs", action="store_true", help="put the table into docs/faults.md")


def pytest_configure(config: pytest.Config) -> None:
    """Clients and proxies share one process and its loop: a slow loop would be measured as a slow gateway."""
    if config.getoption("--load", None) == "full":
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table."""
    reports = itertools.chain.from_iterable(terminalreporter.stats.values())
    ended = (report for report in reports if getattr(report, "when", None) == "teardown")
    rows = [Row(**value) for report in ended for name, value in report.user_properties if name == _PROPERTY]
    if rows:
        seeds = ", ".join(sorted({str(row.seed) for row in rows}))
        terminalreporter.section(f"faults (seed {seeds})")
        terminalreporter.write_line(table(rows))
        write_json(rows, config.getoption("--table", None) or config.rootpath / ".run" / "faults.json")
        if config.getoption("--write-docs", default=False):
            write_docs(rows, config.rootpath / "docs" / "faults.md")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Most faults run in `make faults` alone: they take long, or their deadlines want the machine for themselves."""
    # Of the services, the logs are read for crashes, when the stack has ended.
    item.add_marker(pytest.mark.provokes("crash", "asyncio logs connections that the tests' own proxies cut"))
    if "arena" in getattr(item, "fixturenames", ()) and item.path.stem != "test_essentials":
        item.add_marker("faults")


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """The run's seed."""
    given: int | None = pytestconfig.getoption("--seed", None)
    return random.SystemRandom().randrange(10**6) if given is None else given


@pytest.fixture
async def arena(shared_arena: Arena, request: pytest.FixtureRequest) -> AsyncIterator[Arena]:
    """The stack for one fault; whatever the test has left, it is whole again afterwards."""
    shared_arena.rows.clear()
    yield shared_arena
    for row in shared_arena.rows:
        row.test = request.node.name
        # By way of the report, which reaches the summary also from another process.
        request.node.user_properties.append((_PROPERTY, asdict(row)))
    await restore(shared_arena)


async def restore(arena: Arena) -> None:
    """Everything flows and runs, and a plan can be started."""
    for proxy in arena.switchboard:
        proxy.resume()
        proxy.filters = None
        await proxy.accept()
    for name, member in arena.stack.members.items():
        if member.process.running:
            arena.stack.signal(name, signal.SIGCONT)
        else:
            await arena.stack.start(name)
    await healthy(arena.stack)


@pytest.fixture(scope="session")
async def shared_arena(
    pytestconfig: pytest.Config,
    seed: int,
    server_folder: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Arena]:
    """Two generators and two gateways behind proxies. A test leaves them running, all of them."""
    full = pytestconfig.getoption("--load", None) == "full"
    load = (Scale(), PACE, PACE) if full else (QUICK, QUICK_PACE, BRISK_PACE)
    directory = server_folder("faults")
    async with open_switchboard(SERVICES) as switchboard:
        try:
            async with running_stack(
                directory,
                {**_SETTINGS, **SECRET_SETTINGS},
                generators=2,
                gateways=2,
                rewire=with_secret_key(switchboard.rewire),
            ) as stack:
                passwords_of(stack)
                await record_versions(stack)
                yield Arena(stack, switchboard, *load, seed, GRACE_SECONDS, [])
        finally:
            shutil.copytree(directory / "logs", tmp_path_factory.mktemp("fault-logs"), dirs_exist_ok=True)
