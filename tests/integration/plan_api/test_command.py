"""`planstream-admin`, as an operator runs it; and the service's own command line."""

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from local_stack.roles import service_url

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi


async def _run(module: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    code = f"import sys; from {module} import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *arguments),
        env={"PATH": os.defpath, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_limit_is_set_shown_and_reset(plan_api: "PlanApi", plan_api_url: str, user: UUID) -> None:
    """The change holds at once for the running service, and `default` undoes it."""
    who = ("--user", str(user))
    code, out, _ = await _run(
        "plan_api.admin", "quota", "set", *who, "--limit", "1", "--json", DATABASE_URL=plan_api_url
    )
    assert (code, json.loads(out)["limit"]) == (0, 1)
    await plan_api.started(user)
    refused = await plan_api.start(user, await plan_api.store_inputs(user))
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded")
    code, out, _ = await _run("plan_api.admin", "quota", "show", *who, DATABASE_URL=plan_api_url)
    assert code == 0
    assert "limit 1, used 0, reserved 1, remaining 0" in out
    code, out, _ = await _run(
        *("plan_api.admin", "quota", "set", *who, "--limit", "default", "--json"),
        DATABASE_URL=plan_api_url,
        QUOTA_PLANS_PER_MONTH="0",
    )
    assert (code, json.loads(out)["limit"], json.loads(out)["reserved"]) == (0, None, 1)


async def test_mistakes_are_said(user: UUID) -> None:
    """What is missing in the environment or away is one line on standard error and an exit code."""
    show = ("plan_api.admin", "quota", "show", "--user", str(user))
    code, _, err = await _run(*show)
    assert (code, "DATABASE_URL" in err) == (2, True)
    code, _, err = await _run(*show, DATABASE_URL="postgresql://plan_api:x@127.0.0.1:9/planstream")
    assert (code, "does not answer" in err, len(err.splitlines())) == (1, True, 1)
    code, _, err = await _run("plan_api.admin", "quota", "set", "--user", str(user), "--limit", "-3")
    assert (code, "must be a number from 0" in err) == (2, True)


async def test_the_service_migrates_serves_and_drains(database: str, nats_url: str, user: UUID) -> None:
    """`migrate` makes the schema, `serve` answers, and SIGTERM ends it with exit code 0."""
    url, token = service_url(database, "plan_api"), "0123456789abcdef"
    code, _, err = await _run("plan_api.main", "migrate", DATABASE_URL=url, ADMIN_DATABASE_URL=database)
    assert code == 0, err
    environment = {"DATABASE_URL": url, "NATS_URL": nats_url, "SERVICE_TOKEN": token, "HOST": "127.0.0.1", "PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "plan_api", "serve"),
        env={"PATH": os.defpath, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        port = await _port(process.stdout)
        headers = {"authorization": f"Bearer {token}", "x-user-id": str(user)}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            assert (await client.get("/readyz")).json()["status"] == "ready"
            assert (await client.get("/api/plan/quota")).json()["remaining"] == 30
        process.terminate()
        async with asyncio.timeout(15):
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0


async def _port(stdout: asyncio.StreamReader) -> int:
    async with asyncio.timeout(15):
        while line := await stdout.readline():
            entry = json.loads(line)
            if entry["event"] == "server.listening":
                return int(entry["port"])
    raise AssertionError("the service did not listen")
