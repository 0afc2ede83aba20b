"""A pytest plugin that reads everything a run of tests has said: no secret, no crash and no 5xx that nobody provoked.

It looks where a test runs, so that it holds in every worker: at what was captured from the test, its services and their
processes, at all files that the test left in `tmp_path`, and at the logs in every `server_folder`. What it finds fails
the test, or the last one where a server outlives its test. Answers are looked at by `secrecy.require_plain_answer`.
"""

import re
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from testkit.secrecy import kept, told

# `provokes("5xx", "an outage")`: what would fail the test otherwise; the second word says why it is on purpose.
MARKER: Final = (
    'provokes(kind, why): the test makes a service say "5xx", or "crash", or has a "secret" told, on purpose'
)
_KINDS: Final = frozenset({"5xx", "crash", "secret"})
# The gateway's line about an answer, as JSON and as structlog prints it for people.
_SERVER_ERROR: Final = re.compile(r"(?=.*request\.answered).*\bstatus\W{1,4}5\d\d\b")
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_LARGEST_BYTES: Final = 32 * 1024**2
_TEXT: Final = frozenset({"", ".log", ".out", ".err", ".txt"})
# What holds secrets because it is their place.
_PLACES: Final = frozenset({"planstream-password", "environ"})


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that has passed, but in whose output something stands that must not."""
    report = yield
    if report.passed:
        texts = {name: content for name, content in report.sections if name.endswith(call.when)}
        tmp_path = getattr(item, "funcargs", {}).get("tmp_path")
        if call.when == "teardown" and tmp_path is not None:
            texts |= dict(_files(tmp_path))
        if found := faults_in(texts.items(), provoked(item)):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: what nobody may read, or nobody provoked:\n" + "\n".join(found)
    return report


def provoked(item: pytest.Item) -> frozenset[str]:
    """The kinds of fault that a test is marked to provoke.

    Raises:
        AssertionError: its marker is not understood.
    """
    marks = [mark.args for mark in item.iter_markers("provokes")]
    assert all(len(mark) == 2 and mark[0] in _KINDS for mark in marks), f"{item.nodeid}: {MARKER}"
    return frozenset(kind for kind, _ in marks)


def faults_in(texts: Iterable[tuple[str, str]], allowed: frozenset[str] = frozenset()) -> list[str]:
    """Lines that must not be there, each behind the name of its text."""
    found = []
    for name, text in texts:
        plain = _COLOURS.sub("", text)
        lines = told(plain, kept(), crashes="crash" not in allowed, secrets_too="secret" not in allowed)
        if "5xx" not in allowed:
            lines += [line[:500] for line in plain.splitlines() if _SERVER_ERROR.match(line)]
        found += [f"{name}: {line}" for line in lines]
    return found


def require_clean_logs(folder: Path, allowed: frozenset[str] = frozenset({"5xx"})) -> None:
    """No log below a folder of servers tells a secret or a crash; a stack of a test's own may meet an outage.

    Raises:
        AssertionError: one does, and what it says.
    """
    logs = ((str(log), log.read_text("utf-8", "replace")) for log in folder.rglob("*.log") if log.is_file())
    found = faults_in(logs, allowed)
    assert not found, "what nobody may read, in the logs of servers:\n" + "\n".join(found)


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    texts = (path for path in folder.rglob("*") if path.suffix in _TEXT and path.name not in _PLACES)
    for path in texts:
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST_BYTES:
            yield path.name, path.read_text("utf-8", "replace")
