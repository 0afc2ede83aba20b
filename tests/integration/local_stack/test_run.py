"""`make run` as its user meets it: start, what it tells, and that it leaves nothing behind."""

import asyncio
import json
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_stack.ports import LOOPBACK

StartRunner = Callable[..., Any]
INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

MOMENTS: dict[str, Callable[[Any], bool]] = {
    "the directory is locked": lambda runner: (runner.directory / "runner.json").exists(),
    "initdb runs": lambda runner: (runner.directory / "postgres.new").exists(),
    "PostgreSQL runs": lambda runner: "ready  postgres" in runner.output,
    "a service runs": lambda runner: "ready  plan-api" in runner.output,
}
# One moment with each kind of thing to end is enough for every day.
MARKS = {"the directory is locked": pytest.mark.full, "PostgreSQL runs": pytest.mark.full}


def environment_of(url: str) -> dict[str, str]:
    """What a stand-in was told."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        value: dict[str, str] = json.load(answer)
    return value


async def test_a_run_from_start_to_ctrl_c(start_runner: StartRunner) -> None:
    """It starts everything, tells where in stack.json, and Ctrl-C ends everything with exit code 0."""
    runner = await start_runner(GENERATORS="2", GATEWAYS="2").ready()
    stack = runner.stack
    assert list(stack) == [
        *("gateway", "gateways", "generators", "planApi", "metrics", "openrouter", "emulatorControl"),
        *("natsUrl", "databaseUrl", "serviceToken", "pids"),
    ]
    assert stack["gateway"] == stack["gateways"][0]
    assert (len(stack["gateways"]), len(stack["generators"])) == (2, 2)
    services = {"plan-api", "generator-1", "generator-2", "gateway-1", "gateway-2"}
    assert set(stack["pids"]) == {"postgres", "nats", "emulator"} | services
    assert stat.S_IMODE((runner.directory / "stack.json").stat().st_mode) == 0o600
    assert "OPENROUTER_API_KEY is not set" in runner.output
    assert f"Ready in {runner.output.split('Ready in ')[1].split()[0]} s: {stack['gateway']}/" in runner.output
    assert "\x1b" not in runner.output
    assert await runner.end(signal.SIGINT) == 0
    assert runner.left() == []
    assert not (runner.directory / "stack.json").exists()


async def test_what_the_services_are_told(start_runner: StartRunner, given: dict[str, str]) -> None:
    """Each service gets its own role and its neighbours; the key goes to the generator alone; what is given wins."""
    runner = await start_runner(
        OPENROUTER_API_KEY="key", OPENROUTER_BASE_URL="http://there", LOG_LEVEL="debug", **given
    ).ready()
    stack = runner.stack
    gateway, plan_api = environment_of(stack["gateway"]), environment_of(stack["planApi"])
    generator = environment_of(stack["generators"][0])
    assert (stack["openrouter"], stack["emulatorControl"]) == ("http://there", None)
    assert (stack["databaseUrl"], stack["natsUrl"]) == (given["DATABASE_URL"], given["NATS_URL"])
    assert set(stack["pids"]) == {"plan-api", "generator-1", "gateway-1"}
    assert (generator["OPENROUTER_API_KEY"], generator["OPENROUTER_BASE_URL"]) == ("key", "http://there")
    assert "OPENROUTER_API_KEY" not in {*gateway, *plan_api}
    roles = [each["DATABASE_URL"].split("//")[1].split(":")[0] for each in (gateway, plan_api, generator)]
    assert roles == ["stream_gateway", "plan_api", "generator"]
    assert {each["LOG_LEVEL"] for each in (gateway, plan_api, generator)} == {"debug"}
    assert {each["HOST"] for each in (gateway, plan_api, generator)} == {LOOPBACK}
    assert {each["SERVICE_TOKEN"] for each in (gateway, plan_api, generator)} == {stack["serviceToken"]}
    assert {each["AUTH_MODE"] for each in (gateway, plan_api, generator)} == {"dev"}
    assert gateway["PLAN_API_URL"] == stack["planApi"]
    assert gateway["GENERATOR_URLS"] == plan_api["GENERATOR_URLS"] == ",".join(stack["generators"])


@pytest.mark.parametrize("moment", [pytest.param(each, marks=MARKS.get(each, ())) for each in MOMENTS])
async def test_an_interrupt_at_any_moment(start_runner: StartRunner, moment: str) -> None:
    """Whenever Ctrl-C comes, nothing is left, and the exit code says that it was interrupted."""
    runner = start_runner()
    await runner.reach(MOMENTS[moment])
    assert await runner.end(signal.SIGINT) in {INTERRUPTED[signal.SIGINT], 0}
    assert runner.left() == []
    assert not (runner.directory / "postgres.new").exists()
    assert not (runner.directory / "stack.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.full)])
async def test_other_ends(start_runner: StartRunner, given: dict[str, str], number: signal.Signals) -> None:
    """SIGTERM and a closed terminal end a starting stack as Ctrl-C does."""
    runner = start_runner(**given)
    await runner.reach(lambda runner: "ready  migrations" in runner.output)
    assert await runner.end(number) in {INTERRUPTED[number], 0}
    assert runner.left() == []


async def test_a_second_ctrl_c_ends_at_once(start_runner: StartRunner, given: dict[str, str]) -> None:
    """A service that will not end is waited for after one Ctrl-C and killed after two."""
    runner = await start_runner(STUBBORN="generator", SHUTDOWN_SECONDS="60", **given).ready()
    began = time.monotonic()
    assert await runner.end(signal.SIGINT, signal.SIGINT) == 0
    assert time.monotonic() - began < 10
    assert runner.left() == []


async def test_a_busy_port(start_runner: StartRunner) -> None:
    """A port that is taken is named, with a way out, before anything is started."""
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        runner = start_runner(PORT=str(port))
        assert await runner.end() == 1
    assert f"Port {port} is taken" in runner.output
    assert f"PORT={port + 10} make run" in runner.output
    assert runner.left() == []


async def test_wrong_settings_are_told_at_once_and_together(start_runner: StartRunner) -> None:
    """Whichever service would stumble over a setting: all of them are named before anything is started."""
    wrong = {"SSE_HEARTBEAT_SECONDS": "0", "LOG_LEVEL": "loud", "GENERATOR_CONCURRENCY": "many"}
    runner = start_runner(PYTHONPATH="", EMULATOR_JITTER="2", QUOTA_PLANS_PER_MONTH="-1", **wrong)
    assert await runner.end() == 1
    told = {line.split(":")[0].strip(): line for line in runner.output.splitlines()}
    assert wrong.keys() | {"EMULATOR_JITTER", "QUOTA_PLANS_PER_MONTH"} < told.keys()
    assert told["LOG_LEVEL"].endswith("(plan-api, generator-1, gateway-1)")
    assert told["SSE_HEARTBEAT_SECONDS"].endswith("(gateway-1)")
    assert "ready" not in runner.output
    assert not (runner.directory / "postgres").exists()
    assert runner.left() == []


async def test_only_this_runs_logs(start_runner: StartRunner, given: dict[str, str]) -> None:
    """A run with fewer generators than the one before has no logs of theirs."""
    for generators in ("3", "1"):
        runner = await start_runner(GENERATORS=generators, **given).ready()
        logs = {path.name for path in (runner.directory / "logs").glob("generator-*.log")}
        assert logs == {f"generator-{number + 1}.log" for number in range(int(generators))}
        assert await runner.end(signal.SIGINT) == 0


def test_nothing_is_installed_to_stop_nothing(tmp_path: Path) -> None:
    """`make stop` where nothing was ever run, as after `make clean`, says so at once."""
    makefile = Path(__file__).parents[3] / "Makefile"
    command = ["make", "--no-print-directory", "-f", str(makefile), "stop"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout) == (0, "No stack runs in .run.\n"), made.stderr
    assert not any(tmp_path.iterdir())


async def test_a_second_run_in_the_same_folder(start_runner: StartRunner, given: dict[str, str]) -> None:
    """A second runner says that one runs already, and where, and leaves it alone."""
    first = await start_runner(**given).ready()
    second = start_runner()
    assert await second.end() == 1
    assert f"process {first.process.pid}) at {first.stack['gateway']}/" in second.output
    assert await first.end(signal.SIGTERM) == 0


async def test_after_a_killed_runner(start_runner: StartRunner) -> None:
    """When the runner is killed its processes end by themselves, and the next run starts on the same data."""
    first = await start_runner().ready()
    pids = set(first.stack["pids"].values())
    await first.end(signal.SIGKILL)
    if sys.platform == "linux":  # elsewhere the next run ends them
        await first.cleared()
    second = await start_runner().ready()
    assert not pids & set(second.stack["pids"].values())
    assert await second.end(signal.SIGINT) == 0
    assert second.left() == []


async def test_a_service_that_cannot_start(start_runner: StartRunner, given: dict[str, str]) -> None:
    """It is named, with the end of its log, and everything else is ended."""
    runner = start_runner(BROKEN="plan_api", **given)
    assert await runner.end() == 1
    assert "plan_api cannot start" in runner.output
    assert runner.left() == []


async def test_a_service_that_dies(start_runner: StartRunner, given: dict[str, str]) -> None:
    """A service that dies is started again on the same port, and stack.json says its new process."""
    runner = await start_runner(**given).ready()
    before = runner.stack
    with pytest.raises(OSError, match=r"closed|reset"):
        await asyncio.to_thread(environment_of, f"{before['planApi']}/die")
    await runner.reach(lambda runner: "plan-api is back." in runner.output)
    assert runner.stack["planApi"] == before["planApi"]
    assert runner.stack["pids"]["plan-api"] != before["pids"]["plan-api"]
    assert await runner.end(signal.SIGINT) == 0
    assert runner.left() == []
