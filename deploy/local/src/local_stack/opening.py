"""Opening a stack in the order of its dependencies; the closing of each step stands beside its opening."""

import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from local_stack import services
from local_stack.console import Console, silent
from local_stack.errors import StackError
from local_stack.external import check_database, check_nats
from local_stack.health import answers_http, answers_ready, explain_end
from local_stack.nats import NatsServer
from local_stack.ports import LOOPBACK, free_port, give_back, hold, is_free
from local_stack.postgres import PostgresServer
from local_stack.preflight import check_settings
from local_stack.processes import Command, Hurry, Process, to_the_end
from local_stack.settings import StackSettings, read_settings
from local_stack.stack import Stack, together
from local_stack.state import Ledger, clear_logs, make_directory, only_one

# From a service's name (as `gateway-1`) and the environment it would get to the one it gets.
Rewire = Callable[[str, Mapping[str, str]], Mapping[str, str]]

_MIGRATION_SECONDS = 60
# Of the caller's environment, only what programs need to run at all: a test's stack must not depend on who runs it.
_NEEDED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SSL_CERT_FILE", "LD_LIBRARY_PATH")


@asynccontextmanager
async def running_stack(
    directory: Path,
    env: Mapping[str, str] | None = None,
    *,
    generators: int = 1,
    gateways: int = 1,
    rewire: Rewire | None = None,
) -> AsyncIterator[Stack]:
    """A stack for a test: ports, servers and directory of its own, nothing restarted when it dies.

    Args:
        directory: its state; made when there is none.
        env: settings of the services, by the names of the environment.
        generators: how many generators.
        gateways: how many gateways.
        rewire: puts a test's proxies between the services and what they talk to.

    Raises:
        StackError: it could not start.
    """
    base = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    counts = {"GENERATORS": str(generators), "GATEWAYS": str(gateways)}
    settings = read_settings({**base, **counts, **(env or {})}, default_port=None)
    async with open_stack(settings, directory, silent(), Hurry(), durable=False, rewire=rewire) as stack:
        yield stack


@asynccontextmanager
async def open_stack(
    settings: StackSettings,
    directory: Path,
    console: Console,
    hurry: Hurry,
    *,
    durable: bool = True,
    rewire: Rewire | None = None,
) -> AsyncIterator[Stack]:
    """Open everything and write `stack.json`; close it all in the reverse order, whatever happens.

    Args:
        settings: of the stack and the services.
        directory: its state.
        console: what a person is told.
        hurry: whether to end at once.
        durable: for a person, who may set something wrong and wants to keep the data; not for a test.
        rewire: see `running_stack`.

    Raises:
        StackError: it could not start.
    """
    directory = make_directory(directory)
    async with AsyncExitStack() as opened:
        opened.enter_context(only_one(directory))
        ledger = Ledger(directory / "processes.json")
        stack = Stack(directory, ledger, hurry)
        stack.retract()
        if ended := await ledger.end_leftovers():
            console.say(f"  ended what a killed run had left: {', '.join(ended)}")
        clear_logs(directory)
        opened.callback(ledger.clear)
        opening = _Opening(stack, settings, console, hurry, opened, durable=durable, rewire=rewire)
        await opening.run()
        yield stack


class _Opening:
    """The steps, and what one finds out for the next."""

    def __init__(
        self,
        stack: Stack,
        settings: StackSettings,
        console: Console,
        hurry: Hurry,
        opened: AsyncExitStack,
        *,
        durable: bool,
        rewire: Rewire | None,
    ) -> None:
        self.stack = stack
        self._settings = settings
        self._console = console
        self._hurry = hurry
        self._opened = opened
        self._durable = durable
        self._rewire = rewire
        self._ports: set[int] = set()
        self._began = time.monotonic()
        self._admin_url = settings.admin_url or ""
        self._nats_url = settings.nats_url or ""

    async def run(self) -> None:
        self._opened.callback(lambda: give_back(self._ports))
        addresses = self._addresses()
        if self._durable:
            await check_settings(self._settings, addresses, self.stack.log("settings"), self._hurry)
        await self._open_servers(addresses.emulator_port)
        addresses = replace(addresses, admin_url=self._admin_url, nats_url=self._nats_url)
        await self._open_services(addresses)
        self._opened.callback(self.stack.retract)
        self.stack.publish(addresses)

    def _addresses(self) -> services.Addresses:
        """Where everything will be; those of the embedded servers are known once they run."""
        gateways, generators = range(1, self._settings.gateways + 1), range(1, self._settings.generators + 1)
        names = ["plan-api", *(f"generator-{n}" for n in generators), *(f"gateway-{n}" for n in gateways)]
        return services.Addresses(
            gateway_host=self._settings.host,
            gateway_ports=self._gateway_ports(),
            generator_ports=tuple(self._port() for _ in range(self._settings.generators)),
            plan_api_port=self._port(),
            admin_ports={name: self._port() for name in names},
            emulator_port=self._port() if self._settings.emulated else None,
            openrouter_url=self._settings.openrouter_url,
            admin_url=self._admin_url,
            nats_url=self._nats_url or f"nats://{LOOPBACK}:4222",
            service_token=self._settings.service_token or secrets.token_urlsafe(32),
        )

    async def _open_servers(self, emulator_port: int | None) -> None:
        self._opened.push_async_callback(self.stack.close, ("nats", "emulator", "postgres"))
        steps = [self._open_database(), self._open_broker()]
        if emulator_port is not None:
            steps.append(self._open_emulator(emulator_port))
        await together(*steps)

    async def _open_database(self) -> None:
        began = time.monotonic()
        if self._settings.admin_url is None:
            server = PostgresServer(
                self.stack.directory / "postgres",
                self._port(),
                self.stack.log("postgres"),
                durable=self._durable,
                hurry=self._hurry,
            )
            await server.initialise()
            if server.note:
                self._console.say(f"  {server.note}")
            self.stack.adopt(server.process, server.is_ready)
            await self._start("postgres", f"{LOOPBACK}:{server.port}", began)
            self._admin_url = server.url()
        else:
            await check_database(self._admin_url)
        await self._migrate()

    async def _migrate(self) -> None:
        began = time.monotonic()
        command = services.migration_command(self._settings, self._admin_url)
        process = Process(command, self.stack.log(command.name), self._hurry)
        process.start()
        try:
            ended = await process.wait(_MIGRATION_SECONDS)
        finally:
            await to_the_end(process.stop())
        if process.exit_code != 0:
            why = "before it was done" if ended else f"after {_MIGRATION_SECONDS} s"
            raise StackError(explain_end(process, why))
        self._console.done("migrations", time.monotonic() - began)

    async def _open_broker(self) -> None:
        if self._settings.nats_url is not None:
            await check_nats(self._settings.nats_url)
            return
        server = NatsServer(self.stack.directory / "nats", self._port(), self.stack.log("nats"), hurry=self._hurry)
        server.initialise()
        self.stack.adopt(server.process, server.is_ready)
        await self._start("nats", f"{LOOPBACK}:{server.port}")
        self._nats_url = server.url

    async def _open_emulator(self, port: int) -> None:
        self.stack.add(services.emulator_command(self._settings, port), answers_http(LOOPBACK, port))
        await self._start("emulator", "OPENROUTER_API_KEY is not set: an emulator stands in for OpenRouter")

    async def _open_services(self, addresses: services.Addresses) -> None:
        backends = [
            (services.plan_api_command(self._settings, addresses), addresses.plan_api),
            *zip(services.generator_commands(self._settings, addresses), addresses.generators, strict=True),
        ]
        gateways = [*zip(services.gateway_commands(self._settings, addresses), addresses.gateways, strict=True)]
        for group in (backends, gateways):
            self._opened.push_async_callback(self.stack.close, [command.name for command, _ in group])
        for command, url in (*backends, *gateways):
            self.stack.add(self._rewired(command), answers_ready(url))
        await together(*(self._start(command.name, url) for command, url in (*backends, *gateways)))

    def _rewired(self, command: Command) -> Command:
        if self._rewire is None:
            return command
        return replace(command, environment=self._rewire(command.name, command.environment))

    async def _start(self, name: str, detail: str, began: float | None = None) -> None:
        began = began or time.monotonic()
        await self.stack.start(name)
        self._console.done(name, time.monotonic() - began, detail)

    def _port(self) -> int:
        port = free_port()
        self._ports.add(port)
        return port

    def _gateway_ports(self) -> tuple[int, ...]:
        wanted = self._settings.port
        if wanted is None:
            return tuple(self._port() for _ in range(self._settings.gateways))
        if not is_free(wanted, self._settings.host):
            raise StackError(f"Port {wanted} is taken by another program. Choose another: PORT={wanted + 10} make run")
        self._hold(wanted)  # who started this program may keep it for it
        return (wanted, *(self._near(wanted + number) for number in range(1, self._settings.gateways)))

    def _near(self, port: int) -> int:
        return port if port < 65_536 and is_free(port, self._settings.host) and self._hold(port) else self._port()

    def _hold(self, port: int) -> bool:
        held = hold(port)
        if held:
            self._ports.add(port)
        return held
