"""Assemble authentication by an external issuer for one event loop: issuer, registered clients, token cache.

RFC 9068 §4 (validating a JWT access token); https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html. The site has
the last word: a client that is not registered gets nothing, and no client gets more than it is registered for. A token
without a good signature never reaches the database.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.auth.access import Access
from gateway.auth.discovery import Fetch, smart_configuration_of
from gateway.auth.external_token import ExternalToken, TokenRules, external_token
from gateway.auth.issuer import EVERY, Issuer
from gateway.auth.key_set_fetch import KeySetFetch, url_fault
from gateway.auth.launch_patient import FAULTS, LaunchPatients, PatientNumber
from gateway.auth.refusals import TokenRefused
from gateway.auth.scopes import ScopeInvalid, granted, scope_list
from gateway.auth.smart_configuration import Endpoints
from gateway.auth.token_cache import TokenCache
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.settings import Settings
from gateway.store.clients import StoredClients
from gateway.store.database.engine import Engine
from mappings.profile import Site

_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ExternalAccess:
    """Function that a token cache calls to look a token up."""

    rules: TokenRules
    issuer: Issuer
    clients: StoredClients
    patients: LaunchPatients

    async def __call__(self, token: str, at: int) -> Access | None:
        """Return the access of a token at an instant in microseconds, None if it is not valid; the log says why.

        Raises:
            IssuerUnavailable: its key is not known, and the issuer does not answer.
            StoreUnavailable: the database does not answer.
        """
        try:
            return await self._access(await self._verified(token, at), at)
        except TokenRefused as refused:
            get_logger().warning("token-refused", code=refused.reason, operation="access")
            return None

    async def _verified(self, compact: str, at: int) -> ExternalToken:
        token = external_token(compact, self.rules, at / _SECOND)
        key = await self.issuer.key(token.key_id, token.algorithm)
        if key is None:
            raise TokenRefused("invalid_token", "key-unknown")
        token.verify(key)
        return token

    async def _access(self, token: ExternalToken, at: int) -> Access:
        client = await self.clients.find(token.client_id, at)
        if client is None or not client.is_external:
            raise TokenRefused("invalid_token", "client-unknown")
        if not client.is_active(at):
            raise TokenRefused("invalid_token", "not-active")
        try:
            scopes = granted(token.scopes, scope_list(client.scopes))
        except ScopeInvalid:
            raise TokenRefused("invalid_token", "too-many-scopes") from None
        facilities = None if client.facilities is None else frozenset(client.facilities)
        expires = min(token.expires, client.expires or token.expires)
        patient, fault = token.patient, ""
        if isinstance(patient, PatientNumber):
            patient, fault = await self._patient(patient, facilities)
        return Access(client.client_id, scopes, facilities, expires, token.user, patient, fault)

    async def _patient(self, number: PatientNumber, facilities: frozenset[str] | None) -> tuple[str | None, str]:
        """Return the id of the Patient with this number, else why there is none; its code is logged."""
        patient_id, fault = await self.patients.find(number, facilities)
        if not fault:
            return patient_id, ""
        get_logger().warning("patient-not-found", code=fault, operation="access")
        return None, FAULTS[fault]


@dataclass(frozen=True, slots=True)
class External:
    """Authentication by an external issuer: `tokens` checks access tokens."""

    rules: TokenRules
    issuer: Issuer
    tokens: TokenCache

    @property
    def endpoints(self) -> Endpoints | None:
        """Addresses of a login at the issuer, None as long as it gave none."""
        return self.issuer.discovered.endpoints if self.issuer.discovered else None

    async def smart_configuration(self) -> Mapping[str, Any]:
        """Return the SMART configuration.

        Raises:
            IssuerUnavailable: the issuer was never reached.
        """
        return smart_configuration_of(self.rules.issuer, await self.issuer.discovery())

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return its background loops: one asks the issuer again and again."""
        return (forever(self.issuer.renew, EVERY, not_done="issuer-not-read"),)


def external(engine: Engine, settings: Settings, site: Site, fetch: Fetch | None = None) -> External:
    """Assemble it; `fetch` gets documents of the issuer, `site` has the key for patient ids.

    Raises:
        ConfigError: a setting is missing or wrong.
    """
    rules = token_rules(settings)
    fetch = fetch or KeySetFetch(allows_private=settings.auth.allow_private_jwks)
    issuer = Issuer(fetch, rules.issuer, settings.auth.jwks_url)
    access = ExternalAccess(rules, issuer, StoredClients(engine), LaunchPatients(engine, site))
    return External(rules, issuer, TokenCache(access))


def token_rules(settings: Settings) -> TokenRules:
    """Return the rules for tokens that the settings make.

    Raises:
        ConfigError: issuer or audience is missing, or a URL is not https.
    """
    auth = settings.auth
    if not auth.issuer:
        raise _wrong("auth.issuer", "missing", "Write the URL of the issuer, letter for letter as `iss` of its tokens.")
    if not auth.audience:
        remedy = "Write the `aud` that the issuer puts into tokens for this gateway, such as its FHIR base."
        raise _wrong("auth.audience", "missing", remedy)
    for key, url in (("auth.issuer", auth.issuer), ("auth.jwks_url", auth.jwks_url)):
        if url and (fault := url_fault(url)):
            raise _wrong(key, fault, "Write an https URL: keys that come by http prove nothing.")
    return TokenRules(auth.issuer, auth.audience, auth.scope_claim, auth.patient_claim)


def _wrong(key: str, problem: str, remedy: str) -> ConfigError:
    return ConfigError("settings", key, problem, remedy)
