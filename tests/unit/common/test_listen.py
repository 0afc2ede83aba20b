"""The listening socket of every service."""

import socket
import sys

import pytest

from common.metrics import open_admin
from common.server import VANISHED_CLIENT_MS, listen


def test_a_vanished_client_is_noticed() -> None:
    """Rule 10: an accepted connection gives up unacknowledged data after 20 s: a closed laptop lid sends no FIN."""
    assert VANISHED_CLIENT_MS == 20_000
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert sys.platform != "linux" or (
                accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            ) == (20_000, 1)


async def test_a_taken_admin_port_is_named() -> None:
    """Whoever reads the log knows which setting to change."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"ADMIN_PORT: cannot listen on 127.0.0.1:{port}: Address already in use"):
            async with open_admin("127.0.0.1", port):
                pass
