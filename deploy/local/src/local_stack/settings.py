"""What the stack is told by its environment. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from local_stack.errors import StackError
from local_stack.ports import LOOPBACK

DEFAULT_PORT = 8080
MOST_INSTANCES = 16
# A local stack need not drain as long as a deployed one: nobody waits well for Ctrl-C.
SHUTDOWN_SECONDS = "3"


@dataclass(frozen=True, slots=True)
class StackSettings:
    """The stack's own settings, and the environment that is passed on to the services."""

    environment: Mapping[str, str]
    host: str = LOOPBACK
    port: int | None = None
    generators: int = 1
    gateways: int = 1
    admin_url: str | None = None
    nats_url: str | None = None
    openrouter_url: str | None = None
    service_token: str | None = None

    @property
    def emulated(self) -> bool:
        """Whether plans come from the emulator: neither a key nor another address is given."""
        return self.openrouter_url is None and "OPENROUTER_API_KEY" not in self.environment

    @property
    def shutdown_seconds(self) -> float:
        """How long a service may take to drain."""
        return float(self.environment.get("SHUTDOWN_SECONDS", SHUTDOWN_SECONDS))


def read_settings(environment: Mapping[str, str], default_port: int | None = DEFAULT_PORT) -> StackSettings:
    """Settings from an environment, where an empty value counts as none.

    Args:
        environment: the stack's own settings and the services'.
        default_port: of the first gateway; None takes any free one.

    Raises:
        StackError: values that make no sense, all of them.
    """
    given = {name: value for name, value in environment.items() if value}
    faults = [
        *_fault_of_number(given, "PORT", 1, 65_535),
        *_fault_of_number(given, "GENERATORS", 1, MOST_INSTANCES),
        *_fault_of_number(given, "GATEWAYS", 1, MOST_INSTANCES),
        *_fault_of_seconds(given, "SHUTDOWN_SECONDS"),
    ]
    if faults:
        raise StackError("\n".join(faults))
    return StackSettings(
        environment=given,
        host=given.get("HOST", LOOPBACK),
        port=int(given["PORT"]) if "PORT" in given else default_port,
        generators=int(given.get("GENERATORS", "1")),
        gateways=int(given.get("GATEWAYS", "1")),
        admin_url=given.get("DATABASE_URL"),
        nats_url=given.get("NATS_URL"),
        openrouter_url=given.get("OPENROUTER_BASE_URL"),
        service_token=given.get("SERVICE_TOKEN"),
    )


def _fault_of_number(given: Mapping[str, str], name: str, least: int, most: int) -> list[str]:
    text = given.get(name, "1")
    if text.isascii() and text.isdigit() and least <= int(text) <= most:
        return []
    return [f"{name} must be a whole number from {least} to {most}, not {text!r}."]


def _fault_of_seconds(given: Mapping[str, str], name: str) -> list[str]:
    try:
        float(given.get(name, "1"))
    except ValueError:
        return [f"{name} must be a number of seconds."]
    return []
