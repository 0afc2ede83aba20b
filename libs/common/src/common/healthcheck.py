"""`python -m common.healthcheck`: whether the service in this container answers. For an image's HEALTHCHECK.

The standard library alone, because it is started anew every few seconds. HOST and PORT are the service's.
"""

import http.client
import os
import sys

SECONDS = 2.0
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not to listen


def answers(host: str, port: int, path: str = "/livez", seconds: float = SECONDS) -> bool:
    """Whether there is a success at a path."""
    connection = http.client.HTTPConnection(_ANY_ADDRESS.get(host, host), port, timeout=seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if answers(os.environ.get("HOST", ""), int(os.environ["PORT"])) else 1)
