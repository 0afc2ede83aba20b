"""The listening socket of every service."""

import socket
import sys

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
