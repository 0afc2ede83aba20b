"""Which tokens prove who is calling."""

import base64
import json
import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from common.contracts.errors import ErrorCode
from common.problems import ApiError
from stream_gateway.auth.key_set import KeySet, VerificationKey
from stream_gateway.auth.tokens import LEEWAY_SECONDS, MAX_TOKEN_CHARS, JwtAuthenticator, SharedSecret
from testkit.secrecy import JWT_SECRET

SECRET = JWT_SECRET
USER = uuid4()
PRIVATE = rsa.generate_private_key(65537, 2048)
PUBLIC: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(PRIVATE.public_key())) | {"kid": "k"}


class Fixed:
    """Keys that do not change."""

    def __init__(self) -> None:
        self._keys = KeySet.parse(json.dumps({"keys": [PUBLIC]}).encode())

    async def key_for(self, token: str) -> VerificationKey | None:
        """The one that the header names."""
        header = jwt.get_unverified_header(token)
        return self._keys.find(header.get("kid"), str(header.get("alg")))


shared = JwtAuthenticator(SharedSecret(SECRET), "issuer", "audience")
public = JwtAuthenticator(Fixed(), "issuer", "audience")


def _claims(**changes: Any) -> dict[str, Any]:
    claims = {"sub": str(USER), "iss": "issuer", "aud": "audience", "exp": int(time.time()) + 600}
    return {name: value for name, value in (claims | changes).items() if value is not None}


def _signed(**changes: Any) -> str:
    return jwt.encode(_claims(**changes), SECRET, "HS256")


def _segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def _refusal(way: JwtAuthenticator, token: str) -> str:
    with pytest.raises(ApiError) as refused:
        await way.verify(token)
    assert refused.value.code is ErrorCode.UNAUTHORIZED
    assert len(token) < 9 or token not in refused.value.detail
    return refused.value.detail


async def test_a_good_token_is_its_subject_until_it_ends() -> None:
    """With the leeway for clocks that differ; several audiences and an exp in digits are good, too."""
    ends = int(time.time()) + 60
    for token in (_signed(exp=ends), _signed(exp=str(ends)), _signed(exp=ends, aud=["x", "audience"])):
        identity = await shared.verify(token)
        assert (identity.user_id, identity.expires_at) == (USER, ends + LEEWAY_SECONDS)
    assert (await public.verify(jwt.encode(_claims(), PRIVATE, "RS256", headers={"kid": "k"}))).user_id == USER


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": int(time.time()) - LEEWAY_SECONDS - 5},
        {"exp": "soon"},
        {"exp": [1]},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": int(time.time()) + LEEWAY_SECONDS + 3600},
        {"nbf": {}},
        {"iat": int(time.time()) + LEEWAY_SECONDS + 3600},
        {"iss": None},
        {"iss": "other"},
        {"aud": None},
        {"aud": "other"},
        {"aud": []},
        {"aud": {"audience": 1}},
        {"sub": None},
        {"sub": "nobody"},
        {"sub": USER.hex},
    ],
)
async def test_a_claim_that_is_missing_or_wrong_refuses_the_token(changes: dict[str, Any]) -> None:
    """Each of them."""
    header = _segment({"alg": "HS256", "typ": "JWT"})
    signing = f"{header}.{_segment(_claims(**changes))}"
    signature = _segment(jwt.get_algorithm_by_name("HS256").sign(signing.encode(), SECRET.encode()))
    await _refusal(shared, f"{signing}.{signature}")


async def test_the_token_does_not_choose_its_algorithm() -> None:
    """No signature, another hash, or an HMAC whose key is the issuer's public key: all are strangers."""
    pem = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = _segment(_claims())
    confused = f"{_segment({'alg': 'HS256', 'kid': 'k'})}.{claims}"
    hmac = _segment(jwt.get_algorithm_by_name("HS256").sign(confused.encode(), pem))
    unsigned = [f"{_segment({'alg': alg, 'kid': 'k'})}.{claims}." for alg in ("none", "None", "NONE", "")]
    for way in (shared, public):
        for token in (*unsigned, f"{confused}.{hmac}", jwt.encode(_claims(), SECRET * 2, "HS512")):
            await _refusal(way, token)
    await _refusal(public, _signed())
    await _refusal(public, jwt.encode(_claims(), PRIVATE, "RS512", headers={"kid": "k"}))
    await _refusal(shared, jwt.encode(_claims(), PRIVATE, "RS256", headers={"kid": "k"}))
    await _refusal(shared, jwt.encode(_claims(), SECRET + "x", "HS256"))


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "x", "a.b.c", "é.é.é", "\x00", "x" * (MAX_TOKEN_CHARS + 1)),
        f"{_segment(b'[' * 4000)}.e30.e30",
        f"{_segment(b'{' + b' ' * 4000)}.e30.e30",
        f"{_segment({'alg': 5})}.e30.e30",
        f"{_segment({'alg': 'RS256', 'kid': 5})}.e30.e30",
        f"{_segment({'alg': 'RS256', 'kid': ['k']})}.e30.e30",
        f"{_segment({'alg': 'HS256', 'crit': ['x']})}.e30.e30",
        f"{_segment({'alg': 'HS256', 'b64': False, 'crit': ['b64']})}..e30",
        f"{_segment([])}.e30.e30",
    ],
)
async def test_what_is_no_token_is_refused_and_breaks_nothing(token: str) -> None:
    """Unauthorized, with a sentence that does not repeat it."""
    for way in (shared, public):
        await _refusal(way, token)


@pytest.mark.parametrize("error", [jwt.DecodeError, ValueError, TypeError, OverflowError, RecursionError])
async def test_whatever_a_decoder_trips_over_is_a_refusal(error: type[Exception]) -> None:
    """Hostile input must not become a fault of ours, whichever version of the decoder meets it."""

    class Tripping:
        async def key_for(self, token: str) -> VerificationKey | None:
            """Fail."""
            raise error("somewhere inside")

    detail = await _refusal(JwtAuthenticator(Tripping(), "issuer", "audience"), _signed())
    assert "inside" not in detail


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("BEARER abc", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("abc", None),
        ("", None),
    ],
)
def test_only_a_bearer_header_shows_a_token(header: str, shown: str | None) -> None:
    """Never a query or a body; a proxy's own Basic header leaves room for the cookie."""
    query = {"access_token": "t", "token": "t", "userId": str(USER)}
    assert shared.shown({"authorization": header, "x-user-id": str(USER)}, query, b'{"token":"t"}') == shown


@pytest.mark.parametrize("more", ["=", "; SameSite=None", "\u00e9", "\r\nX: y", " ", ".a", "\0"])
async def test_what_is_no_compact_jwt_is_refused_before_any_decoder_sees_it(more: str) -> None:
    """A token that is good goes into a Set-Cookie header as it is."""
    assert "three parts" in await _refusal(shared, _signed() + more)
