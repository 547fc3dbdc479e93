"""Parse an access token of the external issuer: a JWT that names its client, user, patient and scopes.

RFC 9068 (JWT access tokens), RFC 8725 (attacks on JWTs), RFC 7519 §4.1. All that costs nothing is checked before a key
is looked for. Nothing in the token says where its key is: the headers `jku`, `x5u`, `x5c` and `jwk` are refused.
Proved by tests/gateway/auth/test_external_token.py and tests/gateway/auth/test_external_faults.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError

from gateway.auth.compact_jwt import numeric_date, taken_apart
from gateway.auth.key_set import ISSUER_ALGORITHMS, PublicKey
from gateway.auth.launch_patient import PatientNumber
from gateway.auth.refusals import TokenRefused
from gateway.auth.scopes import ScopeInvalid, SmartScope, scopes_among

MOST_CHARACTERS: Final = 16 * 1024
LEEWAY: Final = 30  # seconds by which `iat` and `nbf` may be ahead of the gateway's clock; `exp` has none
_SECOND: Final = 1_000_000
_LONGEST_NAME: Final = 256
_HEADERS: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_TYPES: Final = frozenset({"AT+JWT", "APPLICATION/AT+JWT", "JWT"})
CLIENT_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
_PATIENT: Final = re.compile(r"(?:Patient/)?([A-Za-z0-9.-]{1,64})")
_SIGNATURES: Final = jws.JWSRegistry(algorithms=list(ISSUER_ALGORITHMS))
_SIGNATURES.max_header_length = MOST_CHARACTERS


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Rules for tokens: which are meant for this gateway, and which claims hold scopes and patient."""

    issuer: str
    audience: str
    scope_claim: str
    patient_claim: str


@dataclass(frozen=True, slots=True)
class ExternalToken:
    """Token whose claims are valid; its signature is not checked yet.

    `expires` is in microseconds since 1970. `user` None: the client has it for itself. `patient` is a Patient id, or
    the number of a patient. Scopes of `patient/` and `user/` are there only with such a patient, and such a user.
    """

    client_id: str
    user: str | None = field(repr=False)
    patient: str | PatientNumber | None = field(repr=False)
    scopes: tuple[SmartScope, ...]
    expires: int
    key_id: str
    algorithm: str
    compact: str = field(repr=False)

    def verify(self, key: PublicKey) -> None:
        """Check the signature.

        Raises:
            TokenRefused: it is not the signature of this key.
        """
        check_signature(self.compact, key)


def check_signature(compact: str, key: PublicKey) -> None:
    """Check the signature of a token.

    Raises:
        TokenRefused: it is not the signature of this key.
    """
    try:
        jws.deserialize_compact(compact, key, registry=_SIGNATURES)
    except (JoseError, ValueError):
        raise _refused("wrong-signature") from None


def external_token(compact: str, rules: TokenRules, now: float) -> ExternalToken:
    """Parse a token and check all but its signature. `now` is in seconds since 1970.

    Raises:
        TokenRefused: it breaks a rule.
    """
    try:
        header, claims = taken_apart(compact, MOST_CHARACTERS)
    except ValueError:
        raise _refused("token-malformed") from None
    key_id, algorithm = signing_key(header, _TYPES)
    if claims.get("iss") != rules.issuer:
        raise _refused("wrong-issuer")
    if claims.get("aud") not in (rules.audience, [rules.audience]):
        raise _refused("wrong-audience")
    expires = expiry(claims, now)
    client_id = _client(claims)
    if client_id == rules.audience:
        raise _refused("id-token")  # an ID token is for its client, and gives access to nothing (RFC 8725 §2.8)
    user, patient = _user(claims, client_id), _patient(claims.get(rules.patient_claim))
    absent = {name for name, value in (("user", user), ("patient", patient)) if value is None}
    scopes = tuple(one for one in _scopes(claims.get(rules.scope_claim, "")) if one.context not in absent)
    return ExternalToken(client_id, user, patient, scopes, expires, key_id, algorithm, compact)


def signing_key(header: Mapping[str, Any], types: Collection[str | None]) -> tuple[str, str]:
    """Return key id and algorithm of a token of one of these types; None stands for a token without a type.

    Raises:
        TokenRefused: the header breaks a rule.
    """
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if algorithm not in ISSUER_ALGORITHMS:
        raise _refused("wrong-algorithm")
    if not isinstance(key_id, str) or not key_id:
        raise _refused("key-id-missing")
    if not isinstance(kind, str | None) or (kind and kind.upper()) not in types:
        raise _refused("wrong-type")
    if header.keys() - _HEADERS or not all(isinstance(one, str) for one in header.values()):
        raise _refused("header-not-known")
    return key_id, algorithm


def expiry(claims: Mapping[str, Any], now: float) -> int:
    """Return the instant from which the token is not valid, in microseconds.

    Raises:
        TokenRefused: it is expired, or not valid yet.
    """
    try:
        expires, *begins = (numeric_date(claims, name) for name in ("exp", "iat", "nbf"))
    except ValueError:
        raise _refused("time-malformed") from None
    if expires is None:
        raise _refused("exp-missing")
    if expires <= now:
        raise _refused("expired")
    if any(one is not None and one > now + LEEWAY for one in begins):
        raise _refused("not-yet-valid")
    return int(expires * _SECOND)


def _client(claims: Mapping[str, Any]) -> str:
    """Return the client that the token was given to: `azp` or `client_id`, and the same in both.

    Raises:
        TokenRefused: there is none, or there are two.
    """
    named = [claims[name] for name in ("azp", "client_id") if name in claims]
    if not named or any(one != named[0] for one in named):
        raise _refused("client-missing")
    if not isinstance(named[0], str) or not CLIENT_ID.fullmatch(named[0]):
        raise _refused("client-missing")
    return named[0]


def _user(claims: Mapping[str, Any], client_id: str) -> str | None:
    """Return the user; None if the client acts for itself: `sub` is then the client (RFC 9068 §2.2).

    Raises:
        TokenRefused: there is no `sub`.
    """
    user = claims.get("sub")
    if not isinstance(user, str) or not 0 < len(user) <= _LONGEST_NAME or not user.isprintable():
        raise _refused("sub-missing")
    return None if user == client_id else user


def _patient(value: Any) -> str | PatientNumber | None:
    """Return the Patient id of a claim, or the number of a patient as `system|value`; None if it holds neither."""
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        return None
    if match := _PATIENT.fullmatch(value):
        return match[1]
    system, bar, number = value.partition("|")
    return PatientNumber(system, number.strip()) if bar else None


def _scopes(value: Any) -> tuple[SmartScope, ...]:
    """Return the scopes in a claim that the gateway knows.

    Raises:
        TokenRefused: it is neither a text nor a list of texts, or has too many scopes.
    """
    words = value.split(" ") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(one, str) for one in words):
        raise _refused("scope-malformed")
    try:
        return scopes_among(words)
    except ScopeInvalid:
        raise _refused("too-many-scopes") from None


def _refused(reason: str) -> TokenRefused:
    return TokenRefused("invalid_token", reason)
