"""The stack behind proxies that the faults share, the seed, and the table at the end."""

import itertools
import random
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from local_stack import running_stack
from testkit.evidence import record_versions
from testkit.load import Scale
from testkit.proxy import open_switchboard
from testkit.recovery import healthy
from testkit.trial import Arena, Row, table, write_json

SERVICES = ("plan-api", "generator-1", "generator-2", "gateway-1", "gateway-2")
GRACE_SECONDS = 3.0
# Twenty events a second, and a plan takes about ten seconds.
_SETTINGS = {
    "EMULATOR_TTFT_SECONDS": "0.2",
    "EMULATOR_TOKENS_PER_SECOND": "20",
    "EMULATOR_CHARS_PER_TOKEN": "24",
    "DISCONNECT_GRACE_SECONDS": str(GRACE_SECONDS),
    # One test is many users here, and a storm comes from few.
    "MAX_STREAMS_PER_USER": "0",
    "REQUESTS_PER_MINUTE_PER_USER": "0",
}
QUICK = Scale(plans=8, viewers=16, spread=0.5, cancels=1, abandons=1)
_PROPERTY = "fault"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Only where this folder is named on the command line, as `make faults` does."""
    group = parser.getgroup("faults")
    group.addoption("--seed", type=int, help="repeat a run; the seed is printed with the table")
    group.addoption("--load", choices=["quick", "full"], help="full: 30 plans and 60 viewers")
    group.addoption("--table", type=Path, help="where to write the table as JSON")


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


def pytest_itemcollected(item: pytest.Item) -> None:
    """What breaks a stack runs in `make faults` alone: its deadlines want the machine for themselves."""
    if "arena" in getattr(item, "fixturenames", ()):
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
    # By way of the report, which reaches the summary also from another process.
    request.node.user_properties += [(_PROPERTY, asdict(row)) for row in shared_arena.rows]
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
    scale = Scale() if pytestconfig.getoption("--load", None) == "full" else QUICK
    directory = server_folder("faults")
    async with open_switchboard(SERVICES) as switchboard:
        try:
            async with running_stack(
                directory, _SETTINGS, generators=2, gateways=2, rewire=switchboard.rewire
            ) as stack:
                await record_versions(stack)
                yield Arena(stack, switchboard, scale, seed, GRACE_SECONDS, [])
        finally:
            shutil.copytree(directory / "logs", tmp_path_factory.mktemp("fault-logs"), dirs_exist_ok=True)
