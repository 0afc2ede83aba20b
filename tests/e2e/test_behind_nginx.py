"""A stream through nginx: no setting of it is made for streams."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from local_stack import Stack
from local_stack.ports import LOOPBACK, free_port
from testkit import Received, User, Viewer
from testkit.upstream import Upstream
from testkit.upstream_cases import once, short_plan, text_of

# Where nginx is. Who sets it wants the test: without a program there it fails instead of being left out.
GIVEN = os.environ.get("NGINX", "")
NGINX = GIVEN or shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx-light, or NGINX=/path/to/nginx"),
]

# An event arrives later than beside nginx by at most this; a buffer would hold it until it is full, or the plan ends.
LATER_SECONDS = 0.5

# What is added to what a distribution's own file says beside users and logs: nothing, or that all is compressed.
ADDED = {"as it comes": "", "compressing everything": "gzip_types *;"}
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    gzip on; {added}
    sendfile on;
    tcp_nopush on;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address};
        location / {{ proxy_pass {gateway}; }}
    }}
}}
"""


@pytest.fixture(params=ADDED)
async def nginx(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of an nginx before the first gateway; it needs no rights of any kind."""
    assert NGINX is not None
    assert shutil.which(NGINX), f"NGINX={NGINX}: there is no such program (apt-get install nginx-light)"
    address = f"{LOOPBACK}:{free_port()}"
    configuration = tmp_path / "nginx.conf"
    added = ADDED[request.param]
    configuration.write_text(CONFIGURATION.format(folder=tmp_path, address=address, gateway=stack.gateway, added=added))
    errors = tmp_path / "error.log"
    process = await asyncio.create_subprocess_exec(
        *(NGINX, "-c", str(configuration), "-p", str(tmp_path), "-e", str(errors)), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(10):
            while not await answers(client, f"http://{address}/livez"):
                assert process.returncode is None, errors.read_text()
                await asyncio.sleep(0.02)
        yield f"http://{address}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    """Whether there is a success at an address."""
    try:
        return (await client.get(url)).is_success
    except httpx.TransportError:
        return False


class Clock:
    """When each event came, by its id; for `until`."""

    def __init__(self) -> None:
        self.came: dict[str, float] = {}

    def __call__(self, event: Received) -> bool:
        self.came.setdefault(event.id or event.name, time.monotonic())
        return False


async def test_events_come_one_by_one(stack: Stack, nginx: str) -> None:
    """Complaint 18: through a default nginx each event comes when it is said, also the last one before a silence."""
    text = text_of(short_plan())
    behaviour = {"content": text, "chars_per_token": len(text) // 30, "tokens_per_second": 10, "jitter": 0}
    async with Upstream.of(stack) as upstream, User.at(stack.gateway) as user, User.at(nginx, user.id) as behind:
        # Half of the plan, and then nothing for longer than the test lasts.
        body = await upstream.scripted(user, (once(**behaviour, stall_after_tokens=15, stall_comments=False),))
        accepted = {"Accept": "application/json"}
        started = await user.http.post("/api/streaming/generate-plan", json=body, headers=accepted)
        plan_id = UUID(started.json()["planId"])
        direct, through = Clock(), Clock()
        beside, viewer = user.viewer(plan_id), behind.viewer(plan_id)
        watching = [asyncio.create_task(beside.watch(direct)), asyncio.create_task(viewer.watch(through))]
        await written_to(beside, 15)
        await written_to(viewer, 15)
        assert viewer.end is None
        assert max(through.came[name] - direct.came[name] for name in direct.came) < LATER_SECONDS
        assert len(set(through.came.values())) > 10
        answer = await behind.cancel(plan_id)
        await asyncio.wait_for(asyncio.gather(*watching), 5)
    assert answer.json()["status"] == "partial"
    assert viewer.plan == beside.plan
    assert viewer.names == beside.names


async def written_to(viewer: Viewer, events: int) -> None:
    """Wait until so much of the plan has come."""
    async with asyncio.timeout(10):
        while viewer.names.count("progress") < events:
            await asyncio.sleep(0.02)
