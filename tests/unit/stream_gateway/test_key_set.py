"""Which keys of an issuer's document may verify a token."""

import json
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from stream_gateway.auth.key_set import MAX_KEYS, KeySet, KeySetError

_rsa = rsa.generate_private_key(65537, 2048)
RSA: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(_rsa.public_key()))
RSA_PRIVATE: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(_rsa))
RSA_SHORT: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
EC: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
ED: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key()))
for _each in (RSA, RSA_PRIVATE, RSA_SHORT):
    del _each["key_ops"]


def _set(*keys: Any) -> KeySet:
    return KeySet.parse(orjson.dumps({"keys": keys}))


@pytest.mark.parametrize(
    ("entry", "algorithm"),
    [
        (RSA, "RS256"),
        (RSA | {"alg": "PS384"}, "PS384"),
        (RSA | {"key_ops": ["verify"], "use": "sig"}, "RS256"),
        (EC, "ES256"),
        (ED, "EdDSA"),
    ],
)
def test_a_public_key_is_for_the_algorithm_that_it_says(entry: dict[str, Any], algorithm: str) -> None:
    """Or for its type's usual one; a token that names another finds no key, and so chooses nothing."""
    keys = _set(entry | {"kid": "k"})
    found = keys.find("k", algorithm)
    assert found is not None
    assert (found.algorithm, isinstance(found.key, jwt.PyJWK)) == (algorithm, True)
    for other in {"RS256", "RS512", "ES256", "EdDSA", "HS256", "none", "None", ""} - {algorithm}:
        assert keys.find("k", other) is None
    assert keys.find("another", algorithm) is None


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0"},
        RSA | {"alg": "HS256"},
        RSA | {"alg": "none"},
        RSA | {"alg": ["RS256"]},
        RSA | {"alg": None},
        RSA | {"use": "enc"},
        RSA | {"key_ops": ["encrypt"]},
        RSA | {"key_ops": "verify"},
        RSA | {"kty": "EC"},
        RSA | {"n": "%%%"},
        RSA_PRIVATE,
        RSA_SHORT,
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "new"},
        *({}, [], None, "key", 5),
    ],
)
def test_what_is_no_public_key_for_signatures_is_left_out(entry: Any) -> None:
    """Shared and private keys, short ones, encryption, HMAC with a public key, and what makes no sense."""
    keys = _set(entry, EC | {"kid": "good"})
    assert len(keys) == 1
    assert keys.find("good", "ES256") is not None
    with pytest.raises(KeySetError):
        _set(entry)


def test_a_token_without_a_name_needs_the_only_key() -> None:
    """With two it would be a guess."""
    assert _set(RSA | {"kid": "a"}, EC).find(None, "RS256") is not None
    assert _set(RSA | {"kid": "a"}, RSA | {"kid": "b"}).find(None, "RS256") is None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b"[" * 5000,
        b'{"keys":[' + b"0," * MAX_KEYS + b"0]}",
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    """Also one that nests deeply, or holds more keys than an issuer has."""
    with pytest.raises(KeySetError):
        KeySet.parse(document)
