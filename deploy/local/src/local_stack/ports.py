"""Free TCP ports on the loopback address."""

import errno
import random
import socket

LOOPBACK = "127.0.0.1"

# Below what systems hand out for outgoing connections (Linux from 32768, macOS from 49152): a port that is free now is
# not taken by somebody's connection before its server listens.
_RANGE = range(20_000, 32_000)


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


def free_port(taken: set[int]) -> int:
    """A free port that is not in `taken`, and is then.

    Raises:
        OSError: none was found.
    """
    for port in random.SystemRandom().sample(_RANGE, 200):
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    raise OSError(errno.EADDRINUSE, "no free port was found")
