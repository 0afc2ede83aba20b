"""Nothing of a deleted plan stays: rows that were written at the moment of its erasure are found and deleted."""

import asyncio
import random

from stream_gateway.repository import Repository

PAUSE_SECONDS = 20.0


class Erasure:
    """Every gateway sweeps; doing the same twice changes nothing."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def run(self) -> None:
        """Sweep for ever.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away; run again.
        """
        while True:
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            await self._repository.erase_again()
