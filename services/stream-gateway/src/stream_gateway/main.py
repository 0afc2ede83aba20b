"""Settings → application → serve."""

from common.server import Draining, serve
from stream_gateway.app import create_app
from stream_gateway.settings import Settings
from stream_gateway.socket_protocol import WEBSOCKETS


async def run(settings: Settings) -> None:
    """Serve until a signal.

    Raises:
        OSError: the address cannot be listened on.
    """
    draining = Draining()
    app = create_app(settings, draining)
    await serve(app, settings.host, settings.port, draining, settings.shutdown_seconds, WEBSOCKETS)
