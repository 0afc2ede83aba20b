"""Free TCP ports on the loopback address, each for one server."""

import errno
import fcntl
import functools
import os
import random
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below what systems hand out for outgoing connections (Linux from 32768, macOS from 49152): a port that is free now is
# not taken by somebody's connection before its server listens.
_RANGE = range(20_000, 32_000)

# What this process has handed out: its own locks do not keep it out.
_held: set[int] = set()


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now.

    Raises:
        OSError: for another reason than its being taken, as when the address is not this machine's.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def free_port() -> int:
    """A port where nothing listens, and that nobody else of this user's is given until it is given back.

    A stack chooses its ports long before its servers listen, and several stacks open side by side.

    Raises:
        OSError: none was found.
    """
    for port in random.SystemRandom().sample(_RANGE, 200):
        if port in _held or not _lock(port):
            continue
        if is_free(port):
            _held.add(port)
            return port
        _unlock(port)
    raise OSError(errno.EADDRINUSE, "no free port was found")


def hold(port: int) -> bool:
    """Keep a port that was chosen otherwise from being handed out; False when somebody has it already."""
    if port in _held or not _lock(port):
        return False
    _held.add(port)
    return True


def give_back(ports: Iterable[int]) -> None:
    """Let others have them; those that were not handed out are passed over. The end of the process does it, too."""
    for port in _held.intersection(ports):
        _held.remove(port)
        _unlock(port)


@functools.cache
def _locks() -> int:
    """The file whose n-th byte stands for port n. Never closed: that would let go of every lock (POSIX, fcntl)."""
    path = Path(tempfile.gettempdir()) / f"planstream-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lock(port: int) -> bool:
    try:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
        return False
    return True


def _unlock(port: int) -> None:
    fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, port)
