"""The commands of the three services and the emulator. Pure."""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from local_stack.ports import LOOPBACK
from local_stack.processes import Command
from local_stack.roles import service_url
from local_stack.settings import SHUTDOWN_SECONDS, StackSettings

# Only for whom they are meant.
_PRIVATE = ("OPENROUTER_API_KEY", "DATABASE_URL", "ADMIN_DATABASE_URL", "PORT", "ADMIN_PORT", "HOST")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is."""

    gateway_host: str
    gateway_ports: tuple[int, ...]
    generator_ports: tuple[int, ...]
    plan_api_port: int
    admin_ports: Mapping[str, int]
    emulator_port: int | None
    openrouter_url: str | None
    admin_url: str
    nats_url: str
    service_token: str

    @property
    def openrouter(self) -> str:
        """OpenRouter's base URL: the emulator's, the one that was given, or the real one."""
        if self.emulator_port is not None:
            return f"http://{LOOPBACK}:{self.emulator_port}/api/v1"
        return self.openrouter_url or "https://openrouter.ai/api/v1"

    @property
    def emulator_control(self) -> str | None:
        """The emulator's control API."""
        return None if self.emulator_port is None else f"http://{LOOPBACK}:{self.emulator_port}/control"

    @property
    def gateways(self) -> list[str]:
        """The gateways' base URLs, as this machine reaches them."""
        host = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(self.gateway_host, self.gateway_host)  # noqa: S104
        return [f"http://{host}:{port}" for port in self.gateway_ports]

    @property
    def generators(self) -> list[str]:
        """The generators' base URLs."""
        return [f"http://{LOOPBACK}:{port}" for port in self.generator_ports]

    @property
    def plan_api(self) -> str:
        """plan-api's base URL."""
        return f"http://{LOOPBACK}:{self.plan_api_port}"

    @property
    def metrics(self) -> dict[str, str]:
        """Where each service shows its metrics, by the process's name."""
        return {name: f"http://{LOOPBACK}:{port}/metrics" for name, port in self.admin_ports.items()}


def emulator_command(settings: StackSettings, port: int) -> Command:
    """The OpenRouter emulator."""
    arguments = _python("openrouter_emulator", "--host", LOOPBACK, "--port", str(port))
    return Command("emulator", arguments, _common(settings), ending=((signal.SIGTERM, 2.0),))


def migration_command(settings: StackSettings, admin_url: str) -> Command:
    """The migrations of all services."""
    environment = _common(settings) | {"ADMIN_DATABASE_URL": admin_url}
    return Command("migrations", _python("local_stack.migrate"), environment, ending=((signal.SIGTERM, 2.0),))


def validation_command(settings: StackSettings) -> Command:
    """What judges the services' settings."""
    return Command("settings", _python("local_stack.validate"), _common(settings), ending=((signal.SIGTERM, 2.0),))


def to_validate(settings: StackSettings, addresses: Addresses) -> dict[str, tuple[str, dict[str, str]]]:
    """Of each kind of program one: its package and its environment."""
    commands = {
        "plan_api": plan_api_command(settings, addresses),
        "generator": generator_commands(settings, addresses)[0],
        "stream_gateway": gateway_commands(settings, addresses)[0],
    }
    if addresses.emulator_port is not None:
        commands["openrouter_emulator"] = emulator_command(settings, addresses.emulator_port)
    return {command.name: (package, dict(command.environment)) for package, command in commands.items()}


def plan_api_command(settings: StackSettings, addresses: Addresses) -> Command:
    """plan-api."""
    own = {"GENERATOR_URLS": ",".join(addresses.generators)}
    return _service("plan-api", "plan_api", settings, addresses, addresses.plan_api_port, own)


def generator_commands(settings: StackSettings, addresses: Addresses) -> list[Command]:
    """Each generator."""
    # The emulator, and many a stand-in for OpenRouter, takes any key; the generator asks for one.
    key = settings.environment.get("OPENROUTER_API_KEY", "none-given")
    own = {"OPENROUTER_API_KEY": key, "OPENROUTER_BASE_URL": addresses.openrouter}
    return [
        _service(f"generator-{number}", "generator", settings, addresses, port, own)
        for number, port in enumerate(addresses.generator_ports, 1)
    ]


def gateway_commands(settings: StackSettings, addresses: Addresses) -> list[Command]:
    """Each gateway."""
    own = {
        "HOST": addresses.gateway_host,
        "PLAN_API_URL": addresses.plan_api,
        "GENERATOR_URLS": ",".join(addresses.generators),
    }
    return [
        _service(f"gateway-{number}", "stream_gateway", settings, addresses, port, own)
        for number, port in enumerate(addresses.gateway_ports, 1)
    ]


def _service(
    name: str, package: str, settings: StackSettings, addresses: Addresses, port: int, own: dict[str, str]
) -> Command:
    environment = {
        **_common(settings),
        "HOST": LOOPBACK,
        "PORT": str(port),
        "ADMIN_PORT": str(addresses.admin_ports[name]),
        "DATABASE_URL": service_url(addresses.admin_url, package),
        "NATS_URL": addresses.nats_url,
        "SERVICE_TOKEN": addresses.service_token,
        **own,
    }
    ending = ((signal.SIGTERM, settings.shutdown_seconds + 3),)
    return Command(name, _python(package, "serve"), environment, ending)


def _common(settings: StackSettings) -> dict[str, str]:
    defaults = {"AUTH_MODE": "dev", "SHUTDOWN_SECONDS": SHUTDOWN_SECONDS}
    return defaults | {name: value for name, value in settings.environment.items() if name not in _PRIVATE}


def _python(package: str, *arguments: str) -> tuple[str, ...]:
    # -P: a file in the current folder must not hide a module.
    return (sys.executable, "-P", "-m", package, *arguments)
