"""Tokens that are signed with an issuer's private key, whose public keys are fetched over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from stream_gateway.auth.issuer_keys import MAX_BYTES
from testkit.serving import serving

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Gateway, GatewayFactory, Owner

EC, ED, RSA = (
    ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate(),
    rsa.generate_private_key(65537, 2048),
)
PUBLIC: list[dict[str, Any]] = [
    json.loads(ECAlgorithm.to_jwk(EC.public_key())) | {"kid": "ec"},
    json.loads(OKPAlgorithm.to_jwk(ED.public_key())) | {"kid": "ed"},
    json.loads(RSAAlgorithm.to_jwk(RSA.public_key())) | {"kid": "rsa", "alg": "RS256"},
]


class Issuer:
    """Where the keys are published."""

    def __init__(self) -> None:
        self.keys = list(PUBLIC)
        self.answer: Callable[[], Response] | None = None
        self.requests: list[Request] = []
        self.url = ""
        self.over = False

    async def endless(self) -> AsyncIterator[bytes]:
        """White space, for as long as the issuer is there."""
        while not self.over:
            yield b" "
            await asyncio.sleep(0.05)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Publish them."""
        self.requests.append(Request(scope))
        response = self.answer() if self.answer else JSONResponse({"keys": self.keys})
        await response(scope, receive, send)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """An issuer on a socket."""
    made = Issuer()
    async with serving(made, lifespan="off") as url:
        made.url = f"{url}/jwks"
        yield made
        made.over = True


@pytest.fixture
async def front(make_gateway: "GatewayFactory", issuer: Issuer) -> "Gateway":
    """A gateway that trusts the issuer."""
    return await make_gateway(auth_mode="jwt", jwt_jwks_url=issuer.url, jwt_issuer="i", jwt_audience="a")


def _bearer(user: UUID, key: Any, algorithm: str, kid: str | None) -> dict[str, str]:
    claims = {"sub": str(user), "iss": "i", "aud": "a", "exp": 4_000_000_000}
    return {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm, headers={'kid': kid} if kid else None)}"}


async def _status(gateway: "Gateway", headers: dict[str, str]) -> int:
    return (await gateway.client.get("/api/plan/quota", headers=headers)).status_code


async def test_each_kind_of_key_verifies_its_own_tokens(front: "Gateway", issuer: Issuer, user: UUID) -> None:
    """The fetch carries nothing of ours; a token of another's key, or with another's name, is a stranger's."""
    for key, algorithm, kid in ((EC, "ES256", "ec"), (ED, "EdDSA", "ed"), (RSA, "RS256", "rsa"), (ED, "EdDSA", None)):
        assert await _status(front, _bearer(user, key, algorithm, kid)) == 202
    stranger = ec.generate_private_key(ec.SECP256R1())
    for key, algorithm, kid in ((stranger, "ES256", "ec"), (RSA, "PS256", "rsa"), (RSA, "RS256", "ec")):
        assert await _status(front, _bearer(user, key, algorithm, kid)) == 401
    assert len(issuer.requests) <= 2
    assert "authorization" not in issuer.requests[0].headers
    ready = (await front.client.get("/readyz")).json()
    assert ready["dependencies"]["issuer"] == "up"


async def test_a_flood_of_invented_keys_does_not_reach_the_issuer(
    front: "Gateway", issuer: Issuer, owner: "Owner", user: UUID
) -> None:
    """A hundred strangers cost it one request more, and a known user is served all the while."""
    good = _bearer(user, EC, "ES256", "ec")
    assert await _status(front, good) == 202
    before = len(issuer.requests)
    answers = await asyncio.gather(
        *(_status(front, _bearer(user, EC, "ES256", f"invented-{number}")) for number in range(100)),
        *(_status(front, good) for _ in range(20)),
    )
    assert answers == [401] * 100 + [202] * 20
    assert len(issuer.requests) <= before + 1


BROKEN: dict[str, Callable[[Issuer], Response]] = {
    "500": lambda _: Response(status_code=500),
    "no json": lambda _: Response("not json"),
    "no keys": lambda _: JSONResponse({"keys": []}),
    "a secret": lambda _: JSONResponse({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "ec"}]}),
    "elsewhere": lambda _: RedirectResponse("http://127.0.0.1:1/"),
    "large": lambda _: Response(b" " * (MAX_BYTES + 1)),
    "endless": lambda issuer: StreamingResponse(issuer.endless()),
}


@pytest.mark.full
@pytest.mark.provokes("5xx", "the issuer is away")
async def test_an_issuer_that_cannot_be_asked_is_unavailable(
    make_gateway: "GatewayFactory", issuer: Issuer, user: UUID
) -> None:
    """503 with when to come again, and never a 401 that would sign a user out; a 500 of ours neither."""
    for case, answer in BROKEN.items():
        issuer.answer = partial(answer, issuer)
        front = await make_gateway(auth_mode="jwt", jwt_jwks_url=issuer.url, jwt_issuer="i", jwt_audience="a")
        refused = await front.client.get("/api/plan/quota", headers=_bearer(user, EC, "ES256", "ec"))
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable"), case
        assert int(refused.headers["retry-after"]) > 0
        assert (await front.client.get("/readyz")).json()["dependencies"]["issuer"] == "down"
        assert (await front.client.get("/api/plan/quota")).status_code == 401
