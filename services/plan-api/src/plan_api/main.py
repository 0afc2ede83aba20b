"""Settings → application → serve."""

from common import command
from common.server import Draining
from common.server import serve as serve_http
from common.settings import ServiceSettings
from plan_api.app import create_app
from plan_api.settings import Settings


async def serve(settings: ServiceSettings) -> None:
    """Serve until a signal, then drain.

    Raises:
        OSError: the address cannot be listened on.
    """
    assert isinstance(settings, Settings)
    draining = Draining()
    await serve_http(create_app(settings, draining), settings.host, settings.port, draining, settings.shutdown_seconds)


def main() -> int:
    """The command line; returns the exit code."""
    return command.run("plan_api", serve, Settings, "plan-api: inputs, quota, admission, the synchronous call")
