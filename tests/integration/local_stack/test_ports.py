"""Ports for servers that will listen later."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack import ports, running_stack

# So narrow that two programs meet; below the range of the others that run meanwhile.
_NARROW = range(19_000, 19_012)
_OTHER = """
import sys
from local_stack import ports
ports._RANGE = range(int(sys.argv[1]), int(sys.argv[2]))
ports.random.SystemRandom.sample = lambda self, choice, count: list(choice)
for _ in range(int(sys.argv[3])):
    print(ports.free_port(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All in turn from twelve, and nothing kept after the test."""
    monkeypatch.setattr(ports, "_RANGE", _NARROW)
    monkeypatch.setattr("random.SystemRandom.sample", lambda _self, choice, _count: list(choice))
    yield
    ports.give_back(_NARROW)


def test_two_programs_choose_different_ports() -> None:
    """Nothing listens yet, and still no port is handed out twice; when its program has ended, it is free again."""
    arguments = [sys.executable, "-c", _OTHER, str(_NARROW.start), str(_NARROW.stop), "3"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = [int(other.stdout.readline()) for _ in range(3)]
        ours = [ports.free_port() for _ in range(3)]
        other.communicate()
    free = [port for port in _NARROW if port not in (*theirs, *ours)]
    assert not set(theirs) & set(ours)
    assert theirs + ours == [port for port in _NARROW if port not in free]
    assert [ports.free_port() for _ in range(3)] == theirs


def test_a_port_is_handed_out_once_until_it_is_given_back() -> None:
    """Within one program too; a port chosen otherwise counts."""
    first = ports.free_port()
    following = next(port for port in _NARROW if port > first and ports.is_free(port))
    ports.hold(following)
    assert ports.free_port() not in (first, following)
    ports.give_back([first])
    assert ports.free_port() == first


async def test_a_stack_gives_its_ports_back(
    directory: Path, stand_ins: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that it held, when it is closed."""
    monkeypatch.setattr(ports, "_RANGE", range(19_012, 19_212))
    before = set(ports._held)
    async with running_stack(directory, stand_ins):
        assert len(ports._held - before) > 5
    assert ports._held == before
