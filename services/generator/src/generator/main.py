"""Settings → application → serve."""

from common.command import run
from common.server import Draining, serve
from common.settings import ServiceSettings
from generator.app import create_app
from generator.settings import Settings


async def _serve(settings: ServiceSettings) -> None:
    assert isinstance(settings, Settings)
    draining = Draining()
    await serve(create_app(settings, draining), settings.host, settings.port, draining, settings.shutdown_seconds)


def main() -> int:
    """The command line; the return value is the exit code."""
    about = "generator: takes jobs, streams from OpenRouter, publishes progress, stores the plan"
    return run("generator", _serve, Settings, about)
