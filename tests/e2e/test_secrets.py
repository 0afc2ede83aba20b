"""What must not be told is not told: neither by the stack with tokens, at its most talkative, nor by `make run`."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import jwt
import pytest

from local_stack.ports import free_port
from testkit import OpenStack, User
from testkit.secrecy import CANARY, SECRET_SETTINGS, require_silence, told

pytestmark = pytest.mark.full

PAGE = "https://app.example.test"
TOKENS = {
    "AUTH_MODE": "jwt",
    "JWT_ISSUER": "issuer",
    "JWT_AUDIENCE": "audience",
    "ALLOWED_ORIGINS": PAGE,
    "LOG_LEVEL": "debug",
}
SECONDS = 40


def token_of(user: UUID, key: str = SECRET_SETTINGS["JWT_SECRET"], **claims: object) -> str:
    """A bearer token."""
    said = {"sub": str(user), "iss": "issuer", "aud": "audience", "exp": int(time.time()) + 600, "note": CANARY}
    return jwt.encode(said | claims, key, "HS256")


async def test_a_stack_with_tokens_tells_none(open_stack: OpenStack) -> None:
    """A whole plan by bearer and by cookie, and every way to be refused; all services log all that they can."""
    user_id = uuid4()
    good, expired = token_of(user_id), token_of(user_id, exp=1)
    foreign, unsigned = token_of(user_id, f"{CANARY}-another-secret-of-32-bytes-or-more"), f"{CANARY}.{CANARY}.{CANARY}"
    tokens = {good, expired, foreign, unsigned}
    async with open_stack(TOKENS) as stack, User.at(stack.gateway, user_id) as user:
        for token in sorted(tokens - {good}):
            user.http.headers["Authorization"] = f"Bearer {token}"
            for path in ("/api/plan/quota", f"/api/streaming/events/{uuid4()}?token={token}&userId={token}"):
                answer = await user.http.get(path)
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
                assert token not in answer.text + str(answer.headers)
        user.http.headers["Authorization"] = f"Bearer {good}"
        plan_id = await user.start()
        session = await user.http.post("/api/session", headers={"Origin": PAGE, "Cookie": ""})
        [cookie] = session.headers.get_list("set-cookie")
        assert "HttpOnly" in cookie
        del user.http.headers["Authorization"]
        user.http.headers["Cookie"] = cookie.partition(";")[0]
        user.http.headers["Origin"] = PAGE
        viewer = user.viewer(plan_id)
        await viewer.watch()
        assert viewer.end is not None
        assert viewer.end.name == "complete"
        assert (await user.http.delete(f"/api/plan/plans/{plan_id}")).status_code == httpx.codes.NO_CONTENT
        logs = stack.directory / "logs"
        assert '"level": "debug"' in (logs / "gateway-1.log").read_text()
        require_silence(logs, {token.rpartition(".")[2] for token in (good, expired, foreign)})


async def test_make_run_tells_no_secret(server_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Neither on the terminal nor in the logs, from the start to Ctrl-C, with everything set that is secret."""
    folder, output = server_folder("run") / "stack", tmp_path / "output"
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(free_port()),
        "OPENROUTER_API_KEY": f"{CANARY}-key",
        "OPENROUTER_BASE_URL": "http://127.0.0.1:1",
        **SECRET_SETTINGS,
        **TOKENS,
    }
    command = (sys.executable, "-m", "local_stack", "--directory", str(folder), "run")
    with output.open("wb") as terminal:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
        )
    try:
        await until(lambda: "Ready in" in output.read_text() or process.returncode is not None)
        assert process.returncode is None, output.read_text()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environment['PORT']}") as client:
            headers = {"Authorization": f"Bearer {token_of(uuid4())}"}
            assert (await client.get("/api/plan/quota", headers=headers)).status_code == httpx.codes.OK
        stack = (folder / "stack.json").read_text()
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(SECONDS):
            await process.wait()
    passwords = {password for word in stack.split('"') if (password := password_of(word))}
    assert len(passwords) == 2, "of the database and of NATS"
    assert told(output.read_text(), passwords) == []
    require_silence(folder / "logs", passwords)


def password_of(word: str) -> str | None:
    """The password in an address."""
    return urlsplit(word).password if "://" in word else None


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.1)
