"""The command `planstream` against the real stack: what it prints, and what its exit code says."""

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from local_stack import Stack
from testkit import User
from testkit.upstream import Upstream
from testkit.upstream_cases import always, once

pytestmark = pytest.mark.full

COMMAND = str(Path(sys.executable).parent / "planstream")
SECONDS = 40

Told = tuple[int, str, str]
Run = Callable[..., Awaitable[Told]]


@pytest.fixture
def user() -> str:
    """Somebody new."""
    return str(uuid4())


@pytest.fixture
def run(stack: Stack, user: str) -> Run:
    """`await run("status", …)`: the exit code, what it printed, and what it complained of."""

    async def command(*arguments: str, url: str | None = None) -> Told:
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, "--url", url or stack.gateway, "--user", user, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await asyncio.wait_for(process.communicate(), SECONDS)
        return process.returncode or 0, out.decode(), errors.decode()

    return command


async def test_a_plan_in_lines(run: Run, user: str, stack: Stack) -> None:
    """Not a terminal: phases and weeks on the error output, the plan on the output; then it is looked at."""
    code, out, errors = await run("generate", "Run 10 km", "--focus", "Endurance", "--weeks", "5")
    assert (code, "\x1b" in out + errors) == (0, False)
    assert "Week 5: " in out
    assert "1 of 5 weeks" in errors
    assert errors.splitlines()[-1] == "The plan is complete."
    code, out, _ = await run("--json", "plans")
    (plan,) = json.loads(out)["plans"]
    assert (await run("status", plan["planId"]))[:2] == (0, "completed 100 %\n")
    assert json.loads((await run("--json", "show", plan["planId"]))[1])["status"] == "completed"
    assert "of 30 left" in (await run("quota"))[1]
    assert (await run("watch", plan["planId"]))[0] == 0
    assert (await run("delete", plan["planId"]))[:2] == (0, "deleted\n")
    code, _, errors = await run("show", plan["planId"])
    assert (code, "not_found" in errors) == (4, True)


async def test_json_for_scripts(run: Run) -> None:
    """Each event is a line; a refusal is one, too."""
    code, out, _ = await run("--json", "generate", "Run 10 km")
    events = [json.loads(line) for line in out.splitlines()]
    assert (code, events[0]["event"], events[-1]["event"]) == (0, "connected", "complete")
    assert events[-1]["data"]["plan"]["monthly_summary"]
    code, out, _ = await run("--json", "watch", str(uuid4()))
    assert (code, json.loads(out)["error"]["code"]) == (4, "not_found")


async def test_batch_and_sync(run: Run) -> None:
    """Several goals, several ids; and a plan in one answer."""
    code, out, _ = await run("batch", "Run 10 km", "Read music")
    assert (code, len(out.split())) == (0, 2)
    code, out, _ = await run("--json", "generate", "Run 10 km", "--sync")
    assert (code, json.loads(out)["status"]) == (0, "completed")


async def test_a_plan_that_fails(run: Run, stack: Stack) -> None:
    """Exit code 1, and why."""
    async with Upstream.of(stack) as upstream, User.at(stack.gateway) as somebody:
        body = await upstream.scripted(somebody, (always(http_error={"status": 400}),))
        goals = (await somebody.get(f"/api/plan/inputs/{body['preferenceId']}"))["goals"]
    code, _, errors = await run("generate", goals if isinstance(goals, str) else goals[0])
    assert code == 1
    assert "upstream_error" in errors


async def test_wrong_usage_and_nobody_there(run: Run, tmp_path: Path) -> None:
    """2 for what cannot be meant, 5 for an address where nobody listens; help names the exit codes."""
    assert (await run("generate"))[0] == 2
    assert (await run("--token-file", str(tmp_path / "none"), "quota"))[0] == 2
    code, _, errors = await run("quota", url="http://127.0.0.1:9")
    assert (code, "cannot be reached" in errors) == (5, True)
    code, out, _ = await run("--help")
    assert code == 0
    assert "exit codes: 0 completed" in out


async def test_the_first_interrupt_stops_the_plan(stack: Stack, user: str) -> None:
    """Ctrl-C stops it, its end is waited for, and what there was is printed: exit code 3."""
    async with Upstream.of(stack) as upstream, User.at(stack.gateway) as somebody:
        body = await upstream.scripted(somebody, (once(tokens_per_second=40),))
        goals = (await somebody.get(f"/api/plan/inputs/{body['preferenceId']}"))["goals"]
    process = await asyncio.create_subprocess_exec(
        *(
            COMMAND,
            "--url",
            stack.gateway,
            "--user",
            user,
            "--json",
            "generate",
            goals if isinstance(goals, str) else goals[0],
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    for _ in range(12):
        await asyncio.wait_for(process.stdout.readline(), SECONDS)
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert json.loads(out.decode().splitlines()[-1])["event"] == "cancelled"
    assert process.returncode == 3


async def test_a_terminal_is_drawn_in(stack: Stack, user: str) -> None:
    """One line that is drawn again, and is gone in the end."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "--url", stack.gateway, "--user", user, "generate", "Run 10 km"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := await asyncio.to_thread(os.read, ours, 65536):
            drawn += piece
    except OSError:
        pass  # Linux says so when the other side is closed
    os.close(ours)
    assert await process.wait() == 0
    text = drawn.decode()
    assert text.count("\r\x1b[2K") > 10
    assert "tokens/s" in text
    assert text.rstrip().endswith("The plan is complete.")


async def test_check_is_well(run: Run) -> None:
    """Model, stream and proxies do their part; the plan is stopped again."""
    code, out, _ = await run("--json", "check")
    found = {line["check"]: line["ok"] for line in map(json.loads, out.splitlines())}
    assert (code, found) == (0, {"server": True, "stream": True, "model": True, "proxy": True})


async def _serve_held_back(gateway: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that reads an answer whole before it passes it on."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(headers.pop("Content-Length", headers.pop("content-length", "0"))))
    kept = {name: value for name, value in headers.items() if name.lower() not in {"host", "connection"}}
    async with httpx.AsyncClient(base_url=gateway, timeout=SECONDS) as client:
        answer = await client.request(method, path, content=body, headers=kept)
    kind = answer.headers.get("content-type", "")
    start = f"HTTP/1.1 {answer.status_code} x\r\ncontent-type: {kind}\r\ncontent-length: {len(answer.content)}\r\n"
    writer.write(start.encode() + b"connection: close\r\n\r\n" + answer.content)
    await writer.drain()
    writer.close()


async def test_check_finds_a_proxy_that_holds_back(run: Run, stack: Stack) -> None:
    """All events come at once, long after they were written: it says who, and what to do."""
    server = await asyncio.start_server(
        lambda reader, writer: _serve_held_back(stack.gateway, reader, writer), "127.0.0.1", 0
    )
    async with server:
        code, out, _ = await run("check", url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert code == 1
    assert "BAD proxy" in out
    assert "proxy_buffering off" in out
