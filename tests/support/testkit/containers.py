"""The deployment as containers: images built by the classic builder, and the compose stack behind its edge."""

import asyncio
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import jwt
import pytest

from local_stack.ports import LOOPBACK, free_port

# Everything that this run makes in the engine has this in its name.
PROJECT = f"planstream-test-{os.getpid()}"
ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "deploy" / "compose"
TARGETS = ("plan-api", "generator", "stream-gateway", "migrations", "openrouter-emulator")
_BUILD_SECONDS = 900
_UP_SECONDS = 300

# Where docker is. Who sets it wants the tests: without an engine they fail instead of being left out.
GIVEN = os.environ.get("DOCKER", "")
DOCKER = GIVEN or shutil.which("docker")


def engine_answers() -> bool:
    """Whether containers can be run here."""
    if DOCKER is None or shutil.which(DOCKER) is None:
        return False
    return subprocess.run([DOCKER, "info"], check=False, capture_output=True, timeout=20).returncode == 0


def require_engine() -> None:
    """Leave the test out where there is no Docker engine.

    Raises:
        AssertionError: DOCKER says that there is one, and none answers.
    """
    if engine_answers():
        return
    assert not GIVEN, f"DOCKER={GIVEN}: no Docker engine answers"
    pytest.skip("needs a Docker engine that answers `docker info`; DOCKER=docker makes its absence a failure")


def run(*words: str, seconds: float = 60, env: Mapping[str, str] | None = None) -> str:
    """Run a program and give what it printed; its words when it failed."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=seconds, env=env)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def docker(*words: str, seconds: float = 60) -> str:
    """Run docker."""
    assert DOCKER is not None
    return run(DOCKER, *words, seconds=seconds, env={**os.environ, "DOCKER_BUILDKIT": "0"}).strip()


@contextmanager
def built(version: str) -> Iterator[None]:
    """All targets as images under this version, which is for this run alone; removed at the end.

    PYTHON_IMAGE names another base image. What the builder keeps of the stages before stays, for the next run.
    """
    try:
        _build(version)
        yield
    finally:
        left = [each for target in TARGETS if (each := f"planstream/{target}:{version}") in _images(target)]
        if left:
            docker("rmi", *left)


def _images(target: str) -> list[str]:
    return docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"planstream/{target}").split()


def _build(version: str) -> None:
    base = os.environ.get("PYTHON_IMAGE")
    argument = ("--build-arg", f"PYTHON_IMAGE={base}") if base else ()
    for target in TARGETS:
        docker(
            *("build", "--quiet", "--network", "host", "--file", str(ROOT / "deploy" / "images" / "Dockerfile")),
            *(*argument, "--build-arg", f"VERSION={version}", "--target", target),
            *("--tag", f"planstream/{target}:{version}", str(ROOT)),
            seconds=_BUILD_SECONDS,
        )


class ComposeStack:
    """The stack of compose.yaml under a project name of its own, with the emulator."""

    def __init__(self, folder: Path, version: str) -> None:
        self.edge = f"http://{LOOPBACK}:{free_port()}"
        self._file = folder / ".env"
        for name in ("secrets.sh", ".env.example"):
            shutil.copy(COMPOSE / name, folder / name)
        run("sh", str(folder / "secrets.sh"))
        self.secrets = dict(line.split("=", 1) for line in self._file.read_text().splitlines() if "=" in line[1:])
        self._environment = {
            **os.environ,
            "PLANSTREAM_VERSION": version,
            "EDGE_ADDRESS": self.edge.removeprefix("http://"),
            "OPENROUTER_BASE_URL": "http://emulator:8090/api/v1",
            "NOFILE": "4096",
            "EMULATOR_TTFT_SECONDS": "0.1",
            "EMULATOR_TOKENS_PER_SECOND": "400",
        }

    def compose(self, *words: str, seconds: float = 120) -> str:
        """Run compose, the plugin or the program before it."""
        return run(*self._program(), *words, seconds=seconds, env=self._environment)

    def shell(self, script: str, folder: Path, seconds: float = 120) -> str:
        """Run an operator's commands in a folder; what they say to `docker compose` goes to this stack."""
        ours = f'if [ "$1" = compose ]; then shift; {shlex.join(self._program())} "$@"; else command docker "$@"; fi'
        named = {**self._environment, "COMPOSE_PROJECT_NAME": PROJECT}
        whole = f"set -euo pipefail\ncd {shlex.quote(str(folder))}\ndocker() {{ {ours}; }}\n{script}"
        return run("bash", "-c", whole, seconds=seconds, env=named)

    def _program(self) -> tuple[str, ...]:
        assert DOCKER is not None
        plugin = subprocess.run([DOCKER, "compose", "version"], check=False, capture_output=True).returncode == 0
        program = (DOCKER, "compose") if plugin else ("docker-compose",)
        files = ("--file", str(COMPOSE / "compose.yaml"), "--env-file", str(self._file), "--profile", "emulator")
        return (*program, "--project-name", PROJECT, *files)

    def left(self) -> list[str]:
        """What there is in the engine of this project: containers, volumes and networks."""
        mark = ("--filter", f"label=com.docker.compose.project={PROJECT}", "--quiet")
        kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        return [each for kind in kinds for each in docker(*kind, *mark).split()]

    def up(self) -> None:
        """Start everything, and wait until it is healthy: the edge is the last to be started."""
        self.compose("up", "--detach", "--no-build", seconds=_UP_SECONDS)

    def down(self) -> None:
        """Remove everything."""
        self.compose("down", "--volumes", "--timeout", "5")

    def admin(self, *words: str) -> str:
        """What planstream-admin answers."""
        return self.compose("run", "--rm", "admin", *words)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers."""
        labels = {"project": PROJECT, "service": service, "oneoff": "False"}
        filters = (f"label=com.docker.compose.{name}={value}" for name, value in labels.items())
        return docker("ps", "--all", "--quiet", *(word for each in filters for word in ("--filter", each))).split()

    def execute(self, service: str, *words: str) -> tuple[int, str]:
        """Run a program in a service's first container; its exit code and what it printed."""
        assert DOCKER is not None
        command = [DOCKER, "exec", self.containers(service)[0], *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout + done.stderr

    async def healthy(self, service: str, seconds: float = 60) -> None:
        """Wait until every container of a service says so."""
        deadline = time.monotonic() + seconds
        while True:
            found = [
                docker("inspect", "--format", "{{.State.Health.Status}}", each) for each in self.containers(service)
            ]
            if found and set(found) == {"healthy"}:
                return
            assert time.monotonic() < deadline, (service, found)
            await asyncio.sleep(0.5)

    def token(self, user: UUID) -> str:
        """What the issuer would give a user."""
        claims = {
            "sub": str(user),
            "iss": self.secrets["JWT_ISSUER"],
            "aud": self.secrets["JWT_AUDIENCE"],
            "exp": int(time.time()) + 600,
        }
        return jwt.encode(claims, self.secrets["JWT_SECRET"], "HS256")


@contextmanager
def compose_stack(folder: Path, version: str) -> Iterator[ComposeStack]:
    """The stack, up; removed with all its data at the end."""
    stack = ComposeStack(folder, version)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        assert stack.left() == [], "left in the engine"
