"""Authentication by an external issuer put together for one loop: the issuer, the registered clients, the token cache.

RFC 9068; https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html.
Proved by tests/gateway/auth/test_external.py.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.auth.discovery import Fetch, smart_configuration_of
from gateway.auth.external_access import ExternalAccess
from gateway.auth.external_token import TokenRules
from gateway.auth.issuer import EVERY, Issuer
from gateway.auth.key_set_url import KeySetFetch, url_fault
from gateway.auth.launch_patient import LaunchPatients
from gateway.auth.smart_configuration import Endpoints
from gateway.auth.token_cache import TokenCache
from gateway.runtime.errors import ConfigError
from gateway.runtime.loops import forever
from gateway.settings import Settings
from gateway.store.clients import StoredClients
from gateway.store.database.engine import Engine
from mappings.profile import Site


@dataclass(frozen=True, slots=True)
class External:
    """Parts of the authentication by an external issuer: `tokens` judges access tokens."""

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
        """Return the loops behind it: the issuer is asked again and again."""
        return (forever(self.issuer.renew, EVERY, not_done="issuer-not-read"),)


def external(engine: Engine, settings: Settings, site: Site, fetch: Fetch | None = None) -> External:
    """Put the parts together; `fetch` gets documents of the issuer, `site` has the key of the ids of patients.

    Raises:
        ConfigError: a setting is missing or wrong.
    """
    rules = token_rules(settings)
    fetch = fetch or KeySetFetch(allows_private=settings.auth.allow_private_jwks)
    issuer = Issuer(fetch, rules.issuer, settings.auth.jwks_url)
    access = ExternalAccess(rules, issuer, StoredClients(engine), LaunchPatients(engine, site))
    return External(rules, issuer, TokenCache(access))


def token_rules(settings: Settings) -> TokenRules:
    """Return the rules that the settings make for tokens.

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
