"""A running stack, and what can be done to it: end, kill, freeze and start again each of its processes."""

import asyncio
import signal
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.health import Check, wait_until_ready
from local_stack.processes import Command, Hurry, Process, to_the_end
from local_stack.services import Addresses
from local_stack.state import Ledger, write_json


@dataclass(frozen=True, slots=True)
class Member:
    """A process and how one sees that it is ready."""

    process: Process
    ready: Check


class Stack:
    """The processes by name: `postgres`, `nats`, `emulator`, `plan-api`, `generator-1` …, `gateway-1` …

    A process that is started again has the same address and settings as before.
    """

    def __init__(self, directory: Path, ledger: Ledger, hurry: Hurry) -> None:
        self.directory = directory
        self.members: dict[str, Member] = {}
        self._ledger = ledger
        self._hurry = hurry
        self._addresses: Addresses | None = None

    @property
    def addresses(self) -> Addresses:
        """Where everything is. Only for a stack that is ready."""
        assert self._addresses is not None, "the stack is still starting"
        return self._addresses

    @property
    def gateway(self) -> str:
        """The first gateway's base URL."""
        return self.addresses.gateways[0]

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of what runs now."""
        return {name: pid for name, member in self.members.items() if (pid := member.process.pid) is not None}

    def log(self, name: str) -> Path:
        """Where a process logs to."""
        return self.directory / "logs" / f"{name}.log"

    def add(self, command: Command, ready: Check) -> Process:
        """Make a process a member, not started yet."""
        process = Process(command, self.log(command.name), self._hurry)
        self.adopt(process, ready)
        return process

    def adopt(self, process: Process, ready: Check) -> None:
        """Make a process that exists a member."""
        self.members[process.name] = Member(process, ready)

    async def start(self, name: str) -> None:
        """Start a process and wait until it is ready.

        Raises:
            StackError: it ended or took too long.
        """
        member = self.members[name]
        member.process.start()
        self._ledger.note(member.process)
        await wait_until_ready(member.process, member.ready)
        if self._addresses is not None:
            self._write()

    async def start_all(self, names: Iterable[str]) -> None:
        """Start several at the same time."""
        await together(*(self.start(name) for name in names))

    async def stop(self, name: str, number: signal.Signals = signal.SIGTERM, seconds: float | None = None) -> None:
        """End a process by a signal, and by SIGKILL when it takes too long; returns when it is gone."""
        await self.members[name].process.stop(number, seconds)

    async def close(self, names: Iterable[str]) -> None:
        """End those that were started, at the same time, each in its own way; not to be cancelled."""
        for_all = [member.process.stop() for name in names if (member := self.members.get(name))]
        await to_the_end(_all_of(for_all))

    async def kill(self, name: str) -> None:
        """End a process by SIGKILL, as a crash would."""
        await self.members[name].process.kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal, as SIGSTOP and SIGCONT to freeze and wake a process, and do not wait."""
        self.members[name].process.send(number)

    async def stop_nats(self) -> None:
        """Take NATS away; its store stays."""
        await self.members["nats"].process.stop()

    async def start_nats(self) -> None:
        """Bring NATS back under the same address."""
        await self.start("nats")

    async def stop_postgres(self) -> None:
        """Take PostgreSQL away; its data stays."""
        await self.members["postgres"].process.stop()

    async def start_postgres(self) -> None:
        """Bring PostgreSQL back under the same address."""
        await self.start("postgres")

    def publish(self, addresses: Addresses) -> None:
        """All is ready: write `stack.json`."""
        self._addresses = addresses
        self._write()

    def retract(self) -> None:
        """Remove `stack.json`."""
        self._addresses = None
        (self.directory / "stack.json").unlink(missing_ok=True)

    def _write(self) -> None:
        addresses = self.addresses
        write_json(
            self.directory / "stack.json",
            {
                "gateway": self.gateway,
                "gateways": addresses.gateways,
                "generators": addresses.generators,
                "planApi": addresses.plan_api,
                "metrics": addresses.metrics,
                "openrouter": addresses.openrouter,
                "emulatorControl": addresses.emulator_control,
                "natsUrl": addresses.nats_url,
                "databaseUrl": addresses.admin_url,
                "serviceToken": addresses.service_token,
                "pids": self.pids,
            },
        )


async def _all_of(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all, also when one fails; then raise the first error."""
    for error in await asyncio.gather(*work, return_exceptions=True):
        if error is not None:
            raise error


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all at the same time; the first error ends the others and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
