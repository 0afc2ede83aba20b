"""A JSON Web Key Set (RFC 7517) as the keys that may verify a token. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson

# Public-key signatures only: a secret in a public document, or an HMAC with a public key, proves nothing.
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
MAX_KEYS: Final = 100
MIN_RSA_BITS: Final = 2048
# Whoever holds one of these members holds a private or a shared key.
_SECRET_MEMBERS: Final = frozenset({"d", "k"})


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key, and the one algorithm that it is for: what the token's header says chooses neither."""

    algorithm: str
    key: jwt.PyJWK | str


class KeySetError(Exception):
    """The document holds no key that could be used."""


class KeySet:
    """An issuer's keys."""

    def __init__(self, keys: Iterable[tuple[str | None, VerificationKey]]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The key so named, for this algorithm; a token without a name needs the only key there is for it."""
        found = [key for name, key in self._keys if key.algorithm == algorithm and kid in (None, name)]
        return found[0] if len(found) == 1 or (found and kid is not None) else None

    @classmethod
    def parse(cls, document: bytes) -> "KeySet":
        """The usable keys of a document; what we cannot use is left out, as RFC 7517 section 5 asks.

        Raises:
            KeySetError: it is no key set, or holds none.
        """
        try:
            members = orjson.loads(document)
        except orjson.JSONDecodeError as error:
            raise KeySetError("it is not JSON") from error
        entries = members.get("keys") if isinstance(members, dict) else None
        if not isinstance(entries, list) or len(entries) > MAX_KEYS:
            raise KeySetError(f"it has no list of up to {MAX_KEYS} keys")
        keys = cls(found for entry in entries if (found := _key(entry)) is not None)
        if not len(keys):
            raise KeySetError("none of its keys can verify a signature of ours")
        return keys


def _key(entry: Any) -> tuple[str | None, VerificationKey] | None:
    if not isinstance(entry, dict) or _SECRET_MEMBERS & entry.keys() or entry.get("kty") == "oct":
        return None
    if entry.get("use", "sig") != "sig" or "verify" not in _operations(entry):
        return None
    if "alg" in entry and not (isinstance(entry["alg"], str) and entry["alg"] in ALGORITHMS):
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if key.algorithm_name not in ALGORITHMS or getattr(key.key, "key_size", MIN_RSA_BITS) < _least_bits(entry):
        return None
    kid = entry.get("kid")
    return (kid if isinstance(kid, str) else None), VerificationKey(key.algorithm_name, key)


def _operations(entry: dict[str, Any]) -> list[Any]:
    given = entry.get("key_ops", ["verify"])
    return given if isinstance(given, list) else []


def _least_bits(entry: dict[str, Any]) -> int:
    return MIN_RSA_BITS if entry["kty"] == "RSA" else 0
