"""The issuer's keys as they are now: fetched over HTTP, kept, and asked for again when a token names an unknown one."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import jwt
import structlog

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from stream_gateway.auth.key_set import KeySet, KeySetError, VerificationKey

_log = structlog.get_logger(__name__)

FETCH_SECONDS: Final = 3.0
MAX_BYTES: Final = 256 * 1024
RETRY_AFTER_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds.

    `lifetime`: after so long the keys are fetched anew. `stale`: for so much longer they are used while that fails.
    `ask_again`: between two fetches that tokens cause. `pause`: the longest between two tries after a failure.
    """

    lifetime: float = 600
    stale: float = 3600
    ask_again: float = 10
    pause: float = 30


class IssuerKeys:
    """One fetch at a time; whoever needs one waits for that which is under way."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._patience = patience
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._tried_at = float("-inf")
        self._failed = False
        self._tries = 0
        self._fetching = asyncio.Lock()

    @property
    def usable(self) -> bool:
        """Whether there are keys that are not too old."""
        return self._current() is not None

    async def run(self) -> None:
        """Keep the keys fresh, so that no request waits for that."""
        pause = 1.0
        while True:
            await self._refresh()
            if self._failed:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, self._patience.pause)
            else:
                pause = 1.0
                await asyncio.sleep(self._patience.lifetime * random.uniform(0.9, 1.0))  # noqa: S311 - jitter

    async def key_for(self, token: str) -> VerificationKey | None:
        """The key that the token names.

        Raises:
            jwt.PyJWTError: the token's header cannot be read.
            ApiError: unavailable, when it is unknown and the issuer could not be asked.
        """
        header = jwt.get_unverified_header(token)
        kid, algorithm = header.get("kid"), str(header.get("alg"))
        key = self._find(kid, algorithm)
        if key is None and self._may_ask():
            await self._refresh()
            key = self._find(kid, algorithm)
        if key is None and (self._failed or not self.usable):
            detail = "The keys that tokens are checked with cannot be fetched now. Try again shortly."
            raise ApiError(ErrorCode.UNAVAILABLE, detail, retry_after=RETRY_AFTER_SECONDS)
        return key

    def _current(self) -> KeySet | None:
        old = self._clock() - self._fetched_at > self._patience.lifetime + self._patience.stale
        return None if old else self._keys

    def _find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        keys = self._current()
        return None if keys is None else keys.find(kid, algorithm)

    def _may_ask(self) -> bool:
        return self._fetching.locked() or self._clock() - self._tried_at >= self._patience.ask_again

    async def _refresh(self) -> None:
        tries = self._tries
        async with self._fetching:
            if self._tries != tries:
                return
            self._tried_at = self._clock()
            try:
                self._keys = KeySet.parse(await self._fetch())
            except (httpx.HTTPError, OSError, KeySetError) as error:
                self._failed = True
                _log.warning("issuer_keys.unavailable", error=repr(error)[:300], usable=self.usable)
            else:
                self._failed, self._fetched_at = False, self._tried_at
            finally:
                self._tries += 1


@asynccontextmanager
async def open_jwks(url: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """A way to fetch the document: bounded in time and size, following nothing and carrying nothing of ours."""
    # Uncompressed, so that the bound is on what is held.
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    async with httpx.AsyncClient(headers=headers, timeout=FETCH_SECONDS, trust_env=False) as client:

        async def fetch() -> bytes:
            document = b""
            async with asyncio.timeout(FETCH_SECONDS), client.stream("GET", url) as response:
                response.raise_for_status()
                async for part in response.aiter_raw():
                    document += part
                    if len(document) > MAX_BYTES:
                        raise KeySetError(f"it is larger than {MAX_BYTES} bytes")
            return document

        yield fetch
