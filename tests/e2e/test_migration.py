"""docs/migration.md: a server that did not stream becomes Planstream, by the commands that stand there."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from local_stack import Stack
from local_stack.postgres import binary
from local_stack.roles import service_url
from testkit import OpenStack, User
from testkit.shell import pasted

pytestmark = [pytest.mark.full, pytest.mark.timeout(150)]

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "migration.md").read_text()
TOOLS = binary("psql").parent
OLD_PLAN = {"monthly_summary": "As it was.", "weekly_breakdown": [{"week": n, "focus": "Bowing"} for n in range(1, 5)]}
BEFORE_STREAMING = """
CREATE TABLE public.user_goals_and_preferences (
    id uuid PRIMARY KEY, user_id uuid NOT NULL, goals text NOT NULL, created_at timestamp NOT NULL);
CREATE TABLE public.monthly_plans (
    id uuid PRIMARY KEY, user_id uuid NOT NULL, preference_id uuid NOT NULL, content jsonb,
    created_at timestamp NOT NULL);
"""


@pytest.fixture
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """One of its own, because old tables are put beside its schemas."""
    async with open_stack() as running:
        yield running


class OldServer:
    """The tables of a server before it streamed."""

    def __init__(self, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.admin = admin
        self.user, self.preference = uuid4(), uuid4()

    async def begin(self) -> None:
        """Make the tables, with one user's inputs."""
        await self.admin.execute(BEFORE_STREAMING)
        await self.admin.execute(
            "INSERT INTO public.user_goals_and_preferences VALUES ($1, $2, 'Play the cello', now())",
            *(self.preference, self.user),
        )

    async def write(self, content: object) -> UUID:
        """A plan, as it was stored: a row is there when the plan is whole."""
        plan_id = uuid4()
        await self.admin.execute(
            "INSERT INTO public.monthly_plans (id, user_id, preference_id, content, created_at)"
            " VALUES ($1, $2, $3, $4, now() AT TIME ZONE 'UTC')",
            *(plan_id, self.user, self.preference, json.dumps(content)),
        )
        return plan_id


@pytest.fixture
async def old_server(stack: Stack) -> AsyncIterator[OldServer]:
    """In the same database."""
    admin = await asyncpg.connect(stack.addresses.admin_url)
    server = OldServer(admin)
    await server.begin()
    yield server
    await admin.close()


async def run(stack: Stack, folder: Path, *scripts: str, **more: str) -> str:
    """Shell commands of the document, in the repository's root as it would be; answers with what they print."""
    admin = stack.addresses.admin_url
    urls = {
        f"{name.upper()}_DATABASE_URL": service_url(admin, name) for name in ("plan_api", "generator", "stream_gateway")
    }
    (folder / "deploy").symlink_to(ROOT / "deploy") if not (folder / "deploy").exists() else None
    environment = {
        "PATH": f"{ROOT / '.venv' / 'bin'}:{TOOLS}:{os.environ['PATH']}",
        "ADMIN_DATABASE_URL": admin,
        **urls,
        "GATEWAY": stack.gateway,
        "PLAN_API": stack.addresses.plan_api,
        "SERVICE_TOKEN": stack.addresses.service_token,
        **more,
    }
    return await pasted(list(scripts), folder, environment)


def commands(step: int) -> list[str]:
    """The shell commands of a step."""
    (text,) = re.findall(rf"(?ms)^## {step}\. (.*?)(?=^## |\Z)", DOCUMENT)
    found = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    assert found, step
    return [str(each) for each in found]


async def test_the_five_steps(stack: Stack, old_server: OldServer, tmp_path: Path) -> None:
    """In the document's order, as pasted: an old user has old and new plans, by the old call and by the stream."""
    old = await old_server.write(OLD_PLAN)
    who = {"USER_ID": str(old_server.user), "PREFERENCE_ID": str(old_server.preference)}
    await run(stack, tmp_path, *commands(1))
    called = json.loads(await run(stack, tmp_path, *commands(2), **who))
    assert (called["status"], called.keys() >= {"planId", "status", "plan"}) == ("completed", True)
    many, last = (await run(stack, tmp_path, *commands(3), **who)).splitlines()
    assert (int(many) > 20, last) == (True, "event: complete")
    fallback = json.loads(await run(stack, tmp_path, *commands(4), **who))
    assert fallback["status"] == "completed"
    ready, plans = (json.loads(line) for line in (await run(stack, tmp_path, *commands(5), **who)).splitlines())
    assert ready["status"] == "ready"
    assert [plan["status"] for plan in plans["plans"]] == ["completed"] * 4
    assert plans["plans"][-1]["planId"] == str(old)


async def test_old_rows_are_completed_plans(stack: Stack, old_server: OldServer, tmp_path: Path) -> None:
    """Read, watched, counted and deleted like new ones; taken over once, however often it is run."""
    old = await old_server.write(OLD_PLAN)
    await run(stack, tmp_path, *commands(1))
    assert await old_server.admin.fetchval("SELECT status FROM public.monthly_plans") == "completed"
    late = await old_server.write(OLD_PLAN)
    await run(stack, tmp_path, *commands(1))
    async with User.at(stack.gateway, old_server.user) as user:
        plan = await user.plan(old)
        assert (plan["status"], plan["plan"], plan["progress"]["percent"]) == ("completed", OLD_PLAN, 100)
        assert (await user.status(late))["status"] == "completed"
        viewer = user.viewer(old)
        await viewer.watch()
        assert (viewer.names[-1], viewer.plan) == ("complete", OLD_PLAN)
        assert (await user.quota())["used"] == 2
        assert (await user.cancel(old)).json()["status"] == "completed"
        assert (await user.http.delete(f"/api/plan/plans/{old}")).status_code == 204
        await run(stack, tmp_path, *commands(1))
        assert [each["planId"] for each in (await user.get("/api/plan/plans"))["plans"]] == [str(late)]
    assert await old_server.admin.fetchval("SELECT count(*) FROM public.monthly_plans") == 2
    sums = await old_server.admin.fetchrow(
        "SELECT (SELECT sum(used_delta) FROM plan_api.quota_ledger) = (SELECT sum(used) FROM plan_api.quota_accounts),"
        " (SELECT sum(reserved_delta) FROM plan_api.quota_ledger) = (SELECT sum(reserved) FROM plan_api.quota_accounts)"
    )
    assert tuple(sums or ()) == (True, True)


@pytest.mark.parametrize(
    ("status", "partial", "expected"),
    [
        ("partial", '{"monthly_summary": "Half"}', ("partial", {"monthly_summary": "Half"}, 1)),
        ("failed", '{"monthly_summary": "Ha', ("failed", None, 0)),
        ("generating", None, ("failed", None, 0)),
    ],
)
async def test_a_guide_s_own_stream_is_taken_over(
    stack: Stack,
    old_server: OldServer,
    tmp_path: Path,
    status: str,
    partial: str | None,
    expected: tuple[str, Any, int],
) -> None:
    """Of a server that had the guide's columns: what was stopped keeps its content; what was open there has failed."""
    plan_id = await old_server.write(None)
    await run(stack, tmp_path, *commands(1))
    await old_server.admin.execute("DELETE FROM plan_api.quota_ledger")
    await old_server.admin.execute("DELETE FROM plan_api.generations")
    await old_server.admin.execute("DELETE FROM plan_api.quota_accounts")
    await old_server.admin.execute("DELETE FROM generator.monthly_plans")
    await old_server.admin.execute("UPDATE public.monthly_plans SET status = $1, partial_content = $2", status, partial)
    await run(stack, tmp_path, *commands(1))
    async with User.at(stack.gateway, old_server.user) as user:
        plan = await user.plan(plan_id)
        assert (plan["status"], plan["plan"], (await user.quota())["used"]) == expected


async def test_the_client_of_the_document_shows_a_plan(stack: Stack, tmp_path: Path) -> None:
    """As it stands there, in Node: it sees the plan grow, and ends with it whole."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js, whose fetch is a browser's")
    (client,) = re.findall(r"```js\n(.*?)```", DOCUMENT, re.DOTALL)
    async with User.at(stack.gateway) as user:
        before = f"""
            const gateway = {json.dumps(stack.gateway)}, userId = {json.dumps(str(user.id))};
            const preferenceId = {json.dumps(await user.inputs())}, authentication = {{ "X-User-Id": userId }};
        """
        script = tmp_path / "client.mjs"
        script.write_text(f"{before}\n{client}\nconsole.log(JSON.stringify({{ end, plan }}));\n")
        process = await asyncio.create_subprocess_exec(node, str(script), stdout=asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), 40)
        shown = json.loads(output)
        assert shown["end"]["name"] == "complete"
        assert shown["plan"] == (await user.plan(UUID(shown["end"]["planId"])))["plan"]


async def test_the_service_s_call_answers_as_it_always_has(stack: Stack) -> None:
    """`POST /service/generate`, frozen: its members, their types and its errors; see tests/e2e/golden."""
    golden = json.loads((Path(__file__).parent / "golden" / "service_generate.json").read_text())
    async with User.at(stack.gateway) as user, httpx.AsyncClient(timeout=60) as service:
        asked = user.body(await user.inputs())
        given = {"Authorization": f"Bearer {stack.addresses.service_token}"}
        url = f"{stack.addresses.plan_api}/service/generate"
        done = await service.post(url, json=asked, headers=given)
        refused = [
            await service.post(url, json=asked),
            await service.post(url, json=asked | {"preferenceId": str(uuid4())}, headers=given),
            await service.post(url, json={}, headers=given),
        ]
    assert {"status": done.status_code, "type": done.headers["content-type"]} == golden["answer"]
    body = done.json()
    days = body["plan"]["weekly_breakdown"][0]["daily_tasks"]
    some = next(tasks for tasks in days.values() if tasks)
    days |= {day: tasks or some for day, tasks in days.items()}
    assert shape(body) == golden["body"]
    told = [{"status": each.status_code, "code": each.json()["code"], "body": shape(each.json())} for each in refused]
    assert told == golden["refused"]


def shape(value: Any) -> Any:
    """A JSON value's types, member by member; of a list, its first item's."""
    match value:
        case dict():
            return {name: shape(item) for name, item in value.items()}
        case list():
            return [shape(value[0])] if value else []
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case None:
            return "null"
        case _:
            return "string"
