"""When the issuer is asked for its keys, and for how long they are believed."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from stream_gateway.auth.issuer_keys import IssuerKeys, Patience

PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(PRIVATE.public_key()))
PATIENCE = Patience(lifetime=600, stale=3600, ask_again=10)


def _token(kid: str) -> str:
    return jwt.encode({"sub": "x"}, PRIVATE, "ES256", headers={"kid": kid})


class Issuer:
    """Its document, how often it was fetched, and a clock."""

    def __init__(self, *kids: str) -> None:
        self.kids = list(kids)
        self.away = False
        self.fetched = 0
        self.now = 1000.0
        self.keys = IssuerKeys(self._fetch, PATIENCE, lambda: self.now)

    async def _fetch(self) -> bytes:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.away:
            raise httpx.ConnectError("nobody there")
        return orjson.dumps({"keys": [PUBLIC | {"kid": kid} for kid in self.kids]})

    async def knows(self, kid: str) -> bool:
        """Whether a token with this key is accepted."""
        return await self.keys.key_for(_token(kid)) is not None

    async def refuses_to_say(self, kid: str) -> bool:
        """Whether the answer is that it cannot be told now."""
        with pytest.raises(ApiError) as refused:
            await self.keys.key_for(_token(kid))
        return refused.value.code is ErrorCode.UNAVAILABLE and refused.value.retry_after is not None


async def test_one_fetch_serves_all_who_wait() -> None:
    """A thousand first requests ask the issuer once."""
    issuer = Issuer("a")
    assert all(await asyncio.gather(*(issuer.knows("a") for _ in range(1000))))
    assert issuer.fetched == 1


async def test_an_unknown_key_is_asked_for_once_in_a_while() -> None:
    """A key that is new is found at once; a flood of invented ones asks no more often than is allowed."""
    issuer = Issuer("a")
    assert await issuer.knows("a")
    issuer.kids.append("b")
    issuer.now += PATIENCE.ask_again
    assert await issuer.knows("b")
    assert issuer.fetched == 2
    for number in range(1000):
        assert not await issuer.knows(f"invented-{number}")
    assert issuer.fetched == 2
    issuer.now += PATIENCE.ask_again
    assert not any(await asyncio.gather(*(issuer.knows(f"more-{number}") for number in range(1000))))
    assert issuer.fetched == 3
    assert await issuer.knows("a")


async def test_a_key_that_is_withdrawn_is_refused_after_the_next_fetch() -> None:
    """Which a token with another unknown key causes, or the lifetime."""
    issuer = Issuer("a", "b")
    assert await issuer.knows("a")
    issuer.kids.remove("a")
    issuer.now += PATIENCE.ask_again
    assert not await issuer.knows("c")
    assert not await issuer.knows("a")
    assert await issuer.knows("b")


async def test_old_keys_serve_while_the_issuer_is_away_but_not_for_ever() -> None:
    """An unknown key is then nobody's fault: unavailable, not unauthorized."""
    issuer = Issuer("a")
    assert await issuer.knows("a")
    issuer.away = True
    issuer.now += PATIENCE.lifetime + PATIENCE.stale
    assert await issuer.refuses_to_say("b")
    assert await issuer.knows("a")
    ready = [issuer.keys.usable]
    issuer.now += 1
    assert [*ready, issuer.keys.usable] == [True, False]
    assert await issuer.refuses_to_say("a")
    issuer.away = False
    issuer.now += PATIENCE.ask_again
    assert await issuer.knows("a")


async def test_without_keys_nobody_is_refused_for_good() -> None:
    """From the start on: unavailable until the issuer answers."""
    issuer = Issuer("a")
    issuer.away = True
    assert await issuer.refuses_to_say("a")
    assert await issuer.refuses_to_say("a")
    assert issuer.fetched == 1


async def test_keys_are_kept_fresh_without_a_request() -> None:
    """The loop fetches at once, and again when that has failed."""
    issuer = Issuer("a")
    issuer.away = True
    task = asyncio.create_task(issuer.keys.run())
    try:
        async with asyncio.timeout(5):
            while issuer.fetched < 1:
                await asyncio.sleep(0.01)
            issuer.away = False
            while not issuer.keys.usable:
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert issuer.fetched == 2


@pytest.mark.parametrize("token", ["", "a.b.c", "....", "e30.e30.", "W10.e30.x"])
async def test_a_token_without_a_header_asks_nobody(token: str) -> None:
    """What cannot be read names no key."""
    issuer = Issuer("a")
    await issuer.knows("a")
    with suppress(jwt.PyJWTError):
        assert await issuer.keys.key_for(token) is None
    assert issuer.fetched == 1
