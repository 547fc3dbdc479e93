"""Issue, describe and revoke access tokens for clients that prove who they are by an assertion.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html, RFC 6749 §4.4, RFC 7662, RFC 7009. A caller who has
not proved itself learns nothing about which clients exist.
Proved by tests/gateway/auth/test_token_endpoint.py and tests/gateway/auth/test_token_faults.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from gateway.auth.client_assertion import Assertion, assertion
from gateway.auth.key_set import PublicKey
from gateway.auth.refusals import TokenRefused
from gateway.auth.scopes import MOST_SCOPES, ScopeInvalid, SmartScope, granted, printed, scope_list, scopes_among
from gateway.runtime import clock
from gateway.store.clients import RegisteredClient, StoredClients, StoredTokens, TokenRecord, digest_of
from gateway.store.database.engine import micros

GRANT: Final = "client_credentials"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME: Final = 900  # seconds
_SECOND: Final = 1_000_000

Form = Mapping[str, str]


class TokenAnswer(NamedTuple):
    """Answer of the token endpoint to an authenticated client, as JSON."""

    client_id: str
    body: Mapping[str, Any]


class KeySource(Protocol):
    """Source of the public keys of clients."""

    async def find(self, client: RegisteredClient, key_id: str, algorithm: str) -> list[PublicKey]:
        """Return the keys of a client that have this id and algorithm: none, or one of each of its key sets."""


def _nothing(_: str) -> None:
    """Do nothing: no cache has to drop the token."""


@dataclass(frozen=True, slots=True)
class TokenService:
    """Token endpoint without HTTP. `token_url` is its URL; `forget` drops a cached token by its digest.

    Every method raises `TokenRefused` and `StoreUnavailable`.
    """

    clients: StoredClients
    tokens: StoredTokens
    keys: KeySource
    token_url: str
    forget: Callable[[str], None] = _nothing
    now: Callable[[], datetime] = clock.now

    async def token(self, form: Form) -> TokenAnswer:
        """Issue a token (RFC 6749 §4.4) for those requested scopes that the client may have."""
        if not form.get("grant_type"):
            raise TokenRefused("invalid_request", "grant-type-missing", "grant_type is missing")
        if form["grant_type"] != GRANT:
            raise TokenRefused("unsupported_grant_type", "grant-type", f"grant_type must be {GRANT}")
        now = micros(self.now())
        client, proof = await self._proved(form, now)
        scopes = printed(_granted(form.get("scope", ""), client))
        expires = min(now + LIFETIME * _SECOND, client.expires or now + LIFETIME * _SECOND)
        text = secrets.token_urlsafe(32)
        record = TokenRecord(digest_of(text), client.client_id, scopes, now, expires)
        issued = await self.tokens.issue(record, proof.digest, proof.used_until * _SECOND)
        if issued != "issued":
            raise TokenRefused("invalid_client", issued)
        seconds = (expires - now) // _SECOND
        body = {"access_token": text, "token_type": "bearer", "expires_in": seconds, "scope": scopes}
        return TokenAnswer(client.client_id, body)

    async def introspect(self, form: Form) -> TokenAnswer:
        """Describe a token of the calling client (RFC 7662); a token of another is reported as not active."""
        client, digest, now = await self._about(form)
        record = await self.tokens.find(digest, now)
        if record is None or record.client_id != client.client_id:
            return TokenAnswer(client.client_id, {"active": False})
        body = {
            "active": True,
            "scope": record.scopes,
            "client_id": record.client_id,
            "token_type": "bearer",
            "iat": record.issued // _SECOND,
            "exp": record.expires // _SECOND,
        }
        return TokenAnswer(client.client_id, body)

    async def revoke(self, form: Form) -> TokenAnswer:
        """Revoke a token of the calling client (RFC 7009); the answer is the same if there is none."""
        client, digest, now = await self._about(form)
        if await self.tokens.revoke(digest, client.client_id, now):
            self.forget(digest)
        return TokenAnswer(client.client_id, {})

    async def _about(self, form: Form) -> tuple[RegisteredClient, str, int]:
        """Authenticate the caller; return it, the digest of the token asked about, and the time."""
        now = micros(self.now())
        client, proof = await self._proved(form, now)
        if not form.get("token"):
            raise TokenRefused("invalid_request", "token-missing", "token is missing")
        if not await self.tokens.use(proof.digest, proof.used_until * _SECOND):
            raise TokenRefused("invalid_client", "replayed")
        return client, digest_of(form["token"]), now

    async def _proved(self, form: Form, now: int) -> tuple[RegisteredClient, Assertion]:
        """Authenticate the client by its assertion, which is not used up here."""
        proof = _assertion(form, self.token_url, now / _SECOND)
        client = await self.clients.find(proof.client_id, now)
        if client is None:
            raise TokenRefused("invalid_client", "client-unknown")
        if proof.key_set_url not in {None, *(one.url for one in client.key_sets)}:
            raise TokenRefused("invalid_client", "jku-not-registered")
        keys = await self.keys.find(client, proof.key_id, proof.algorithm)
        _check_signature(proof, keys)
        if not client.is_active(now):
            raise TokenRefused("invalid_client", "not-active")
        return client, proof


def _assertion(form: Form, token_url: str, now: float) -> Assertion:
    if form.get("client_secret"):
        raise TokenRefused("invalid_client", "client-secret", "clients prove themselves by client_assertion")
    if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
        raise TokenRefused(
            "invalid_client", "assertion-missing", f"client_assertion, or client_assertion_type {ASSERTION_TYPE}"
        )
    proof = assertion(form["client_assertion"], token_url, now)
    if form.get("client_id", proof.client_id) != proof.client_id:
        raise TokenRefused("invalid_client", "wrong-client-id", "client_id must be iss and sub of the assertion")
    return proof


def _check_signature(proof: Assertion, keys: list[PublicKey]) -> None:
    """Check the signature with each matching key; after a rotation two may have the same id."""
    for key in keys[:-1]:
        try:
            return proof.verify(key)
        except TokenRefused:
            continue
    if not keys:
        raise TokenRefused("invalid_client", "key-unknown")
    return proof.verify(keys[-1])


def _granted(asked: str, client: RegisteredClient) -> tuple[SmartScope, ...]:
    """Return the requested scopes that the client may have; unknown words are skipped."""
    words = asked.split(" ") if asked else []
    if not words or len(words) > MOST_SCOPES:
        raise TokenRefused("invalid_scope", "scope-missing", f"scope must name 1 to {MOST_SCOPES} scopes")
    try:
        scopes = granted(scopes_among(words), scope_list(client.scopes))
    except ScopeInvalid as error:
        raise TokenRefused("invalid_scope", "too-many-scopes", str(error)) from None
    if not scopes:
        raise TokenRefused("invalid_scope", "nothing-granted", "the client may have none of these scopes")
    return scopes
