"""Parse a JSON Web Key Set (JWKS): public keys for checking client assertions, or an issuer's tokens.

RFC 7517 (JWKS), RFC 7518 §6 (RSA and EC keys). SMART App Launch 2.2 asks its clients for RS384 and ES384; an external
issuer may also sign by RS256, ES256, PS256 and PS384. Other keys are no use.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.auth.strict_json import strict_object

PublicKey = RSAKey | ECKey
MOST_BYTES: Final = 64 * 1024
ALGORITHMS: Final = ("RS384", "ES384")
ISSUER_ALGORITHMS: Final = ("RS256", "RS384", "ES256", "ES384", "PS256", "PS384")
# Algorithm -> key type and curve that it takes (RFC 7518 §3.1)
_TAKES: Final = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
}
_MOST_KEYS: Final = 100
_LEAST_BITS, _MOST_BITS = 2_048, 8_192  # below it is weak, above it a signature takes too long to check
_LARGEST_EXPONENT: Final = 2**32
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_LONGEST_ID: Final = 256


class KeySetInvalid(ValueError):
    """A document is no key set, or none of its keys can be used; the message names the key by its place."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """Keys by key id and algorithm, and faults of the keys that are left out."""

    keys: Mapping[tuple[str, str], PublicKey] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def find(self, key_id: str, algorithm: str) -> PublicKey | None:
        """Return the key with that id if it is made for that algorithm."""
        return self.keys.get((key_id, algorithm))


def key_set(document: bytes, algorithms: Sequence[str] = ALGORITHMS) -> PublicKeys:
    """Parse a key set; keys that do not fit these algorithms are left out, and named in `faults`.

    Raises:
        KeySetInvalid: it is no key set, is over the limits, or has no key that can be used.
    """
    if len(document) > MOST_BYTES:
        raise KeySetInvalid(f"larger than {MOST_BYTES} bytes")
    try:
        entries = strict_object(document).get("keys")
    except ValueError:
        raise KeySetInvalid("no JSON object with each key once") from None
    if not isinstance(entries, list) or len(entries) > _MOST_KEYS:
        raise KeySetInvalid(f"`keys` is no list of at most {_MOST_KEYS} keys")
    usable: list[tuple[tuple[str, str], PublicKey]] = []
    faults = []
    for place, entry in enumerate(entries):
        try:
            usable += _key(entry, algorithms)
        except KeySetInvalid as error:
            faults.append(f"keys[{place}]: {error}")
    counts = Counter(name for name, _ in usable)
    if any(count > 1 for count in counts.values()):
        faults.append("several keys have one kid: none of them is taken")
    found = {name: key for name, key in usable if counts[name] == 1}
    if not found:
        raise KeySetInvalid("; ".join(faults) or "`keys` is empty")
    return PublicKeys(found, tuple(faults))


def _key(entry: Any, algorithms: Sequence[str]) -> list[tuple[tuple[str, str], PublicKey]]:
    """Parse one key; it is returned once for each algorithm it may be used with.

    Raises:
        KeySetInvalid: it cannot be used.
    """
    if not isinstance(entry, dict):
        raise KeySetInvalid("no object")
    if _PRIVATE & entry.keys():
        raise KeySetInvalid("a private or secret key, which must never leave the client: make a new one")
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _LONGEST_ID:
        raise KeySetInvalid(f"no kid of 1 to {_LONGEST_ID} characters")
    if entry.get("use", "sig") != "sig" or "verify" not in _listed(entry.get("key_ops", ["verify"])):
        raise KeySetInvalid("not for signatures")
    kind = entry.get("kty"), entry.get("crv") if entry.get("kty") == "EC" else None
    possible = [one for one in algorithms if _TAKES[one] == kind]
    if not possible:
        curves = " or ".join(dict.fromkeys(str(_TAKES[one][1]) for one in algorithms if _TAKES[one][1]))
        raise KeySetInvalid(f"neither an RSA key nor an EC key of {curves}")
    key = _imported(entry)
    made_for = [one for one in possible if entry.get("alg", one) == one]
    if not made_for:
        raise KeySetInvalid(f"alg is not {' or '.join(possible)}")
    return [((key_id, one), key) for one in made_for]


def _imported(entry: dict[str, Any]) -> PublicKey:
    parts = ("kty", "n", "e", "crv", "x", "y")
    given: dict[str, str | list[str]] = {name: entry[name] for name in parts if isinstance(entry.get(name), str)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size of a key is checked below
            key = RSAKey.import_key(given) if entry["kty"] == "RSA" else ECKey.import_key(given)
    except (JoseError, ValueError, TypeError, KeyError):
        raise KeySetInvalid("no key that can be read") from None
    if isinstance(key, RSAKey):
        _check_strength(key)
    return key


def _check_strength(key: RSAKey) -> None:
    numbers = key.public_key.public_numbers()
    if not _LEAST_BITS <= key.public_key.key_size <= _MOST_BITS or numbers.e >= _LARGEST_EXPONENT:
        raise KeySetInvalid(f"an RSA key that has not {_LEAST_BITS} to {_MOST_BITS} bits")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
