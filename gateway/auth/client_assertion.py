"""Verify a client assertion (`private_key_jwt`): a JWT that proves a client by a signature of its private key.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html, RFC 7523 §3, RFC 7515, RFC 8725. All
that costs nothing is checked before a key is looked for, and the signature before the assertion counts as used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError

from gateway.auth.compact_jwt import numeric_date, taken_apart
from gateway.auth.key_set import ALGORITHMS, PublicKey
from gateway.auth.refusals import TokenRefused

MOST_CHARACTERS: Final = 16 * 1024
MOST_SECONDS: Final = 300  # from `iat` to `exp`
SKEW: Final = 60  # seconds by which the clock of a client may differ
_LONGEST_JTI: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HEADERS: Final = frozenset({"alg", "kid", "typ", "jku", "x5t", "x5t#S256"})
_SIGNATURES: Final = jws.JWSRegistry(algorithms=list(ALGORITHMS))
_SIGNATURES.max_header_length = MOST_CHARACTERS


@dataclass(frozen=True, slots=True)
class Assertion:
    """Assertion whose claims are valid; its signature is not checked yet.

    `used_until` is in seconds since 1970: by then it has expired by the clock of every process. `key_set_url` is the
    header `jku`: it is compared, and never followed.
    """

    client_id: str
    key_id: str
    algorithm: str
    jti: str = field(repr=False)
    used_until: int
    key_set_url: str | None
    compact: str = field(repr=False)

    @property
    def digest(self) -> str:
        """Digest under which the assertion is remembered as used; no other assertion has it."""
        return hashlib.sha256(f"{self.client_id}\0{self.jti}".encode()).hexdigest()

    def verify(self, key: PublicKey) -> None:
        """Check the signature.

        Raises:
            TokenRefused: it is not the signature of this key.
        """
        try:
            jws.deserialize_compact(self.compact, key, registry=_SIGNATURES)
        except (JoseError, ValueError):
            raise TokenRefused("invalid_client", "wrong-signature") from None


def assertion(compact: str, audience: str, now: float) -> Assertion:
    """Parse an assertion and check all but its signature. `audience` is the token endpoint's URL; `now` in seconds.

    Raises:
        TokenRefused: it breaks a rule.
    """
    try:
        header, claims = taken_apart(compact, MOST_CHARACTERS)
    except ValueError as error:
        raise _refused("assertion-malformed", f"the assertion is {error}") from None
    key_id, algorithm = _header(header)
    client_id, jti = _identity(claims)
    if claims.get("aud") not in (audience, [audience]):
        raise _refused("wrong-audience", "aud must be the URL of the token endpoint, and nothing else")
    return Assertion(client_id, key_id, algorithm, jti, _expiry(claims, now), header.get("jku"), compact)


def _header(header: Mapping[str, Any]) -> tuple[str, str]:
    """Return key id and algorithm.

    Raises:
        TokenRefused: the header breaks a rule.
    """
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if algorithm not in ALGORITHMS:
        raise _refused("wrong-algorithm", "alg must be RS384 or ES384")
    if not isinstance(key_id, str) or not key_id:
        raise _refused("key-id-missing", "the header needs a kid")
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise _refused("wrong-type", "typ must be JWT")
    if header.keys() - _HEADERS or not all(isinstance(one, str) for one in header.values()):
        raise _refused("header-not-known", "the header has more than alg, kid, typ, jku, x5t")
    return key_id, algorithm


def _identity(claims: Mapping[str, Any]) -> tuple[str, str]:
    """Return client id and `jti`.

    Raises:
        TokenRefused: one is missing or malformed.
    """
    client_id, jti = claims.get("iss"), claims.get("jti")
    if not isinstance(client_id, str) or client_id != claims.get("sub") or not _NAME.fullmatch(client_id):
        raise _refused("wrong-issuer", "iss and sub must both be the client id")
    if not isinstance(jti, str) or not 0 < len(jti) <= _LONGEST_JTI or not jti.isprintable():
        raise _refused("jti-missing", f"jti must be a text of 1 to {_LONGEST_JTI} characters")
    return client_id, jti


def _expiry(claims: Mapping[str, Any], now: float) -> int:
    """Return the second from which no process accepts the assertion, even if its clock is slow.

    Raises:
        TokenRefused: the assertion is expired, not valid yet, or valid for too long.
    """
    expires = _instant(claims, "exp")
    if expires is None:
        raise _refused("exp-missing", "exp is missing")
    made, begins = _instant(claims, "iat"), _instant(claims, "nbf")
    if expires <= now:
        raise _refused("expired", "exp is in the past")
    if expires > now + MOST_SECONDS + SKEW or (made is not None and expires > made + MOST_SECONDS):
        raise _refused("exp-far-ahead", f"exp must be at most {MOST_SECONDS} seconds ahead")
    if any(one is not None and one > now + SKEW for one in (made, begins)):
        raise _refused("not-yet-valid", "iat or nbf is in the future")
    return int(expires) + 1 + SKEW


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate, None if it is absent.

    Raises:
        TokenRefused: it is no number of seconds.
    """
    try:
        return numeric_date(claims, name)
    except ValueError as error:
        raise _refused(f"{name}-malformed", str(error)) from None


def _refused(reason: str, description: str) -> TokenRefused:
    return TokenRefused("invalid_client", reason, description)
