"""The stack as a library, for the end-to-end and fault tests."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import asyncpg
import psutil
import pytest

from local_stack import StackError, running_stack
from local_stack.console import silent
from local_stack.external import check_database, check_nats
from local_stack.health import wait_until_ready
from local_stack.ports import LOOPBACK, free_port
from local_stack.postgres import PostgresServer
from local_stack.processes import Command, Process, is_alive
from local_stack.roles import other_database, service_url
from local_stack.settings import read_settings
from local_stack.state import Ledger
from local_stack.watch import watch


async def get(url: str) -> dict[str, str]:
    """What a stand-in answers."""

    def ask() -> dict[str, str]:
        with urllib.request.urlopen(url, timeout=5) as answer:
            value: dict[str, str] = json.load(answer)
        return value

    return await asyncio.to_thread(ask)


async def test_two_stacks_at_once(directory: Path, stand_ins: dict[str, str]) -> None:
    """Two stacks have nothing in common, and settings reach the services."""
    async with (
        running_stack(directory / "one", {**stand_ins, "PROGRESS_INTERVAL_MS": "7"}) as one,
        running_stack(directory / "two", stand_ins, generators=2, gateways=2) as two,
    ):
        assert not set(one.pids.values()) & set(two.pids.values())
        assert not {one.gateway, one.addresses.plan_api} & {*two.addresses.gateways, two.addresses.plan_api}
        assert (await get(one.addresses.generators[0]))["PROGRESS_INTERVAL_MS"] == "7"
        await one.stop_postgres()
        connection = await asyncpg.connect(two.addresses.admin_url)
        await connection.close()


async def test_faults(directory: Path, stand_ins: dict[str, str]) -> None:
    """Each process can be killed, stopped, and started again under the same address."""
    async with running_stack(directory, stand_ins) as stack:
        generator, before = stack.addresses.generators[0], stack.pids
        await stack.kill("generator-1")
        with pytest.raises(URLError):
            await get(generator)
        await stack.start("generator-1")
        await get(generator)
        await stack.stop("gateway-1", signal.SIGINT)
        await stack.stop_nats()
        assert set(stack.pids) == {"postgres", "emulator", "plan-api", "generator-1"}
        await stack.start_nats()
        await stack.kill("postgres")
        await stack.start_postgres()
        connection = await asyncpg.connect(stack.addresses.admin_url)
        await connection.close()
        assert stack.pids["generator-1"] != before["generator-1"]
        assert stack.pids["plan-api"] == before["plan-api"]


async def test_a_frozen_process_is_ended(directory: Path, stand_ins: dict[str, str], given: dict[str, str]) -> None:
    """A process that a test froze hears of the end."""
    async with running_stack(directory, {**stand_ins, **given}) as stack:
        pid = stack.pids["generator-1"]
        stack.signal("generator-1", signal.SIGSTOP)
    assert not psutil.pid_exists(pid)


async def test_the_watch_gives_up(directory: Path, stand_ins: dict[str, str], given: dict[str, str]) -> None:
    """A process that dies again and again is started three times, then the stack is given up."""
    async with running_stack(directory, {**stand_ins, **given}) as stack:
        watching = asyncio.create_task(watch(stack, silent(), first_pause=0.01))
        while not watching.done():
            if pid := stack.pids.get("plan-api"):
                psutil.Process(pid).kill()
            await asyncio.sleep(0.05)
        with pytest.raises(StackError, match="started again 3 times"):
            await watching


async def test_a_user_who_may_not_create_roles(database: str) -> None:
    """Such an address is refused, and what an administrator is told to say helps."""
    role = '"local stack\'s guest"'
    admin = await asyncpg.connect(database)
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        guest = database.replace(database.split("//")[1].split("@")[0], "local%20stack's%20guest:x")
        with pytest.raises(StackError) as refused:
            await check_database(guest)
        await admin.execute("ALTER ROLE" + str(refused.value).split("ALTER ROLE")[1])
        await check_database(guest)
    finally:
        await admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await admin.close()


async def test_migrations_that_fail(
    tmp_path: Path, directory: Path, stand_ins: dict[str, str], given: dict[str, str]
) -> None:
    """An SQL error is shown as it is, and names the service."""
    broken = tmp_path / "broken"
    await asyncio.to_thread(shutil.copytree, stand_ins["PYTHONPATH"], broken)
    (broken / "generator" / "migrations" / "0001_broken.sql").write_text("SELECT no_such_column")
    with pytest.raises(StackError, match='generator: column "no_such_column" does not exist'):
        async with running_stack(directory, {"PYTHONPATH": str(broken), **given}):
            pass


async def test_servers_that_are_not_there() -> None:
    """It is said which setting is meant, without the password in it."""
    port = free_port()
    with pytest.raises(StackError, match=f"^DATABASE_URL: no connection to {LOOPBACK}:{port}"):
        await check_database(f"postgresql://someone:secret@{LOOPBACK}:{port}/x")
    with pytest.raises(StackError, match=f"^NATS_URL: .* at {LOOPBACK}:{port}, {LOOPBACK}:{port}.$"):
        await check_nats(f"nats://secret@{LOOPBACK}:{port}, {LOOPBACK}:{port}")


async def test_migrations_as_a_user_who_is_not_superuser(database: str) -> None:
    """CREATEROLE and CREATE on the database are enough for the check."""
    await check_database(database)


@pytest.mark.parametrize(("name", "value"), [("GENERATORS", "many"), ("GATEWAYS", "0"), ("PORT", "70000")])
def test_a_setting_that_makes_no_sense(name: str, value: str) -> None:
    """It is named, with what would do."""
    with pytest.raises(StackError, match=f"{name} must be a whole number from 1 to .*, not '{value}'"):
        read_settings({name: value})


def test_all_that_makes_no_sense_is_told_at_once() -> None:
    """One round mends the stack's own settings."""
    with pytest.raises(StackError) as refused:
        read_settings({"GENERATORS": "0", "GATEWAYS": "17", "SHUTDOWN_SECONDS": "soon"})
    assert [line.split()[0] for line in str(refused.value).splitlines()] == [
        "GENERATORS",
        "GATEWAYS",
        "SHUTDOWN_SECONDS",
    ]


def test_an_empty_setting_is_none() -> None:
    """An empty value counts as not given, and without a key or an address the emulator stands in."""
    settings = read_settings({"PORT": "", "OPENROUTER_API_KEY": "", "DATABASE_URL": ""})
    assert (settings.port, settings.admin_url, settings.emulated) == (8080, None, True)
    assert not read_settings({"OPENROUTER_API_KEY": "key"}).emulated
    assert not read_settings({"OPENROUTER_BASE_URL": "http://there"}).emulated


def test_roles_agree_between_databases_of_one_server() -> None:
    """A role's password depends on the administrator's alone; two services' differ."""
    admin = "postgresql://admin:p%40ss@db:5432/one?sslmode=require"
    one, two = service_url(admin, "generator"), service_url(other_database(admin, "two"), "generator")
    assert one.replace("/one?", "/two?") == two
    assert one.startswith("postgresql://generator:")
    assert one.endswith("@db:5432/one?sslmode=require")
    assert service_url(admin, "plan_api").split(":")[2] != one.split(":")[2]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that nobody watches, of the user that PostgreSQL runs as."""
    user = "nobody" if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=user) as process:
        yield process
        process.kill()


async def test_leftovers_are_ended_and_strangers_are_not(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """What the ledger names is ended only when start time and command are the same."""
    entry = {"pid": sleeper.pid, "started": psutil.Process(sleeper.pid).create_time(), "command": sleeper.args}
    path = tmp_path / "processes.json"
    for stranger in ({"started": 1.0}, {"command": ["another", "command"]}):
        path.write_text(json.dumps({"sleeper": {**entry, **stranger}}))
        assert await Ledger(path).end_leftovers() == []
        assert sleeper.poll() is None
    path.write_text(json.dumps({"sleeper": entry}))
    assert await Ledger(path).end_leftovers() == ["sleeper"]
    assert not is_alive(psutil.Process(sleeper.pid))
    assert not path.exists()


async def test_a_pid_file_that_lies(directory: Path, tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """PostgreSQL starts although its pid file names a process that is another program's now."""
    server = PostgresServer(directory, free_port(), tmp_path / "log", durable=False)
    await server.initialise()
    (directory / "postmaster.pid").write_text(f"{sleeper.pid}\n{directory}\n")
    await server.initialise()
    server.process.start()
    try:
        await server.ready()
    finally:
        await server.process.stop()
    assert sleeper.poll() is None


async def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    """A process's children are ended too, also those in sessions of their own."""
    script = (
        "import subprocess, time; subprocess.Popen(['sleep', '61'], start_new_session=True);"
        "print('started', flush=True); time.sleep(62)"
    )
    process = Process(Command("parent", (sys.executable, "-c", script), {}), tmp_path / "log")

    async def started() -> bool:
        return process.tail() == "started"

    process.start()
    await wait_until_ready(process, started)
    (child,) = psutil.Process(process.pid).children()
    await process.stop()
    assert not is_alive(child)
