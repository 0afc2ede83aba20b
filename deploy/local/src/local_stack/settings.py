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
        StackError: a value makes no sense.
    """
    given = {name: value for name, value in environment.items() if value}
    settings = StackSettings(
        environment=given,
        host=given.get("HOST", LOOPBACK),
        port=_number(given, "PORT", 1, 65_535) if "PORT" in given else default_port,
        generators=_number(given, "GENERATORS", 1, MOST_INSTANCES),
        gateways=_number(given, "GATEWAYS", 1, MOST_INSTANCES),
        admin_url=given.get("DATABASE_URL"),
        nats_url=given.get("NATS_URL"),
        openrouter_url=given.get("OPENROUTER_BASE_URL"),
        service_token=given.get("SERVICE_TOKEN"),
    )
    try:
        settings.shutdown_seconds  # noqa: B018 - read for its error
    except ValueError:
        raise StackError("SHUTDOWN_SECONDS must be a number of seconds.") from None
    return settings


def _number(given: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = given.get(name, "1")
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise StackError(f"{name} must be a whole number from {least} to {most}, not {text!r}.")
    return int(text)
