"""`python -m stream_gateway serve` and `… migrate`."""

import sys
from typing import cast

from common.command import run
from common.settings import ServiceSettings
from stream_gateway import main
from stream_gateway.settings import Settings


async def _serve(settings: ServiceSettings) -> None:
    await main.run(cast("Settings", settings))


if __name__ == "__main__":
    sys.exit(run("stream_gateway", _serve, Settings, "The public door: Server-Sent Events per plan."))
