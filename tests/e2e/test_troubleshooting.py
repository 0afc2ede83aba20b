"""docs/troubleshooting.md: its commands, as pasted, on a stack that has something to show."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from local_stack import Stack
from local_stack.postgres import binary
from testkit import OpenStack, User
from testkit.shell import pasted
from testkit.upstream import Upstream
from testkit.upstream_cases import once

pytestmark = [pytest.mark.full, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "troubleshooting.md").read_text()
ORIGIN = "https://app.example.com"


def commands(heading: str) -> list[str]:
    """The commands of one section."""
    (text,) = re.findall(rf"(?ms)^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", DOCUMENT)
    found: list[str] = re.findall(r"```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """One that says everything, and lets a page of another origin in."""
    async with open_stack({"LOG_LEVEL": "debug", "ALLOWED_ORIGINS": ORIGIN}) as running:
        yield running


class Operator:
    """Somebody at a shell, with what the document asks for."""

    def __init__(self, stack: Stack, folder: Path, user: User, plan_id: UUID, preference_id: str) -> None:
        self._folder = folder
        self.environment = {
            "PATH": f"{ROOT / '.venv' / 'bin'}:{binary('psql').parent}:{os.environ['PATH']}",
            "GATEWAY": stack.gateway,
            "USER_ID": str(user.id),
            "PLAN_ID": str(plan_id),
            "PREFERENCE_ID": preference_id,
            "LOGS": str(stack.directory / "logs"),
            "DATABASE_URL": stack.addresses.admin_url,
            "PAGER": "cat",
        }

    async def types(self, *commands: str) -> str:
        """What one shell says to all of them."""
        return await pasted(list(commands), self._folder, self.environment)


@pytest.fixture
async def operator(stack: Stack, tmp_path: Path) -> AsyncIterator[Operator]:
    """With a plan for which the model first said something that is no plan."""
    async with Upstream.of(stack) as upstream, User.at(stack.gateway) as user:
        body = await upstream.scripted(user, (once(content="I am sorry, {not json at all"),))
        viewer = user.viewer()
        await viewer.start(body)
        assert viewer.names[-1] == "complete"
        assert viewer.plan_id is not None
        yield Operator(stack, tmp_path, user, viewer.plan_id, str(body["preferenceId"]))


async def test_a_stream_that_drops(operator: Operator) -> None:
    """The headers that proxies must leave alone, why streams ended, who may ask, and a resume after the end."""
    said = await operator.types(*commands("The stream drops"))
    assert re.search(r"HTTP/1\.1, first byte after 0\.\d+ s", said)
    assert re.search(r"(?i)content-type: text/event-stream", said)
    assert re.search(r"(?i)cache-control: .*no-transform", said)
    assert re.search(r"(?i)x-accel-buffering: no", said)
    # Streams are written down behind their end.
    (_, reasons, preflight, _) = commands("The stream drops")
    async with asyncio.timeout(10):
        while not re.search(r"ended +\| +\d", await operator.types(reasons)):
            await asyncio.sleep(0.2)
    assert f"access-control-allow-origin: {ORIGIN}" in said
    assert said.splitlines()[-1] == "204"
    operator.environment["ORIGIN"] = "https://elsewhere.example.com"
    assert "access-control-allow-origin" not in await operator.types(preflight)


async def test_json_that_cannot_be_read(operator: Operator) -> None:
    """What broke is a line with its place, each call has a row, and the parser shows what it has understood."""
    said = await operator.types(*commands("The model's JSON cannot be read"))
    broken = next(line for line in said.splitlines() if operator.environment["PLAN_ID"] in line)
    assert '"attempt"' in broken
    assert re.search(r"\| stream +\|", said)
    assert "{'monthly_summary': 'Run', 'weekly_breakdown': [{'week': 1, 'focus': 'Sta'}]} not complete" in said


async def test_a_database_that_is_slow(operator: Operator) -> None:
    """Who is connected, how many may be, and who waits; nothing waits here."""
    said = await operator.types(*commands("The database is too slow"))
    for name in ("plan-api", "generator", "stream-gateway"):
        assert re.search(rf"{name} +\| idle", said)
    assert "max_connections" in said
    assert "(0 rows)" in said


async def test_looking_closer(operator: Operator) -> None:
    """One plan's way through three services, the tables, the model that wrote it, and a stream that is as promised."""
    said = await operator.types(*commands("Look closer"))
    assert said.count(operator.environment["PLAN_ID"]) > 5
    assert "generator.monthly_plans" in said
    assert said.splitlines()[-1] == "valid, and ends with complete"
    assert await operator.types('psql "$DATABASE_URL" -Atc "SHOW log_min_duration_statement"') == "-1\n"


async def test_a_stream_with_a_gap_is_seen(operator: Operator) -> None:
    """The check of the events refuses what is not as promised."""
    (check,) = [each for each in commands("Look closer") if "whole.sse" in each]
    curl, _, script = check.partition("python - whole.sse")
    hole = "\nsed -i '/^id: 1.5$/,/^$/d' whole.sse\n"
    with pytest.raises(AssertionError, match=r"gap before 1\.6"):
        await operator.types(curl, hole, f"python - whole.sse{script}")
