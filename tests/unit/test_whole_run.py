"""The watch over all that a run of tests says: it sees what must not be said, and nothing else."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from testkit import secrecy
from testkit.secrecy import CANARY
from testkit.whole_run import faults_in, require_clean_logs

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.c2lnbmF0dXJlLW9mLXNvbWUtbGVuZ3Ro"
BROKEN = """
import pytest
from testkit.secrecy import CANARY, keep

def test_prints_a_secret():
    print("url", CANARY)

def test_writes_a_secret(tmp_path):
    (tmp_path / "service.log").write_text(keep("a-password-made-just-now"))

def test_answers_a_server_error():
    print('{"event": "request.answered", "status": 503}')

@pytest.fixture
def crashing():
    yield
    print("Traceback (most recent call last):")

def test_crashes_when_it_closes(crashing):
    pass

@pytest.mark.provokes("5xx", "an outage")
@pytest.mark.provokes("crash", "a bug")
def test_provokes(crashing):
    print('{"event": "request.answered", "status": 503}')

def test_says_nothing_special():
    print('{"event": "request.answered", "status": 404}', "500 plans")
"""


@pytest.mark.parametrize(
    "line",
    [
        f"postgresql://plan_api:{CANARY}@127.0.0.1/x",
        f"Cookie: planstream={TOKEN}",
        "Traceback (most recent call last):",
        '{"event": "request.crashed", "path": "/"}',
        '{"event": "request.answered", "status": 500}',
        '{"status": 502, "event": "request.answered"}',
        "\x1b[1mrequest.answered \x1b[0m \x1b[36mpath\x1b[0m=/ \x1b[36mstatus\x1b[0m=\x1b[35m503\x1b[0m",
    ],
)
def test_what_must_not_be_said_is_seen(line: str) -> None:
    """Secrets, tokens, crashes and server errors, as JSON and in colours; none of it in an ordinary line."""
    assert faults_in([("out", f"before\n{line}\nafter")]) != []
    ordinary = '{"event": "request.answered", "status": 404}\n{"reason": "upstream_error (status 500): Oops"}'
    assert faults_in([("out", ordinary)]) == []


def test_a_log_of_a_server_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However deep it lies, and also for a password that was made for this server."""
    log = tmp_path / "stack" / "logs" / "gateway-1.log"
    log.parent.mkdir(parents=True)
    log.write_text("ready with word-of-a-server\n")
    require_clean_logs(tmp_path)
    monkeypatch.setattr(secrecy, "_kept", set())
    secrecy.keep("word-of-a-server")
    with pytest.raises(AssertionError, match=r"gateway-1\.log: ready with"):
        require_clean_logs(tmp_path)
    log.unlink()  # this very folder is read, too


@pytest.mark.full
@pytest.mark.parametrize("workers", ["0", "2"])
async def test_a_run_fails_for_what_its_tests_say(workers: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In one process and in several: each test that has said something, and no other."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "test_broken.py").write_text(BROKEN)
    support = Path(secrecy.__file__).parents[1]
    command = (sys.executable, "-m", "pytest", "-p", "testkit.whole_run", "-n", workers, "-q", "--rootdir", str(folder))
    process = await asyncio.create_subprocess_exec(
        *command,
        str(folder),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(support)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    text = said.decode()
    assert process.returncode == 1, text
    failed = {line.split("::")[1].split()[0] for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))}
    assert failed == {
        "test_prints_a_secret",
        "test_writes_a_secret",
        "test_answers_a_server_error",
        "test_crashes_when_it_closes",
    }, text
