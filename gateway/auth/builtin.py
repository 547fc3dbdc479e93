"""Assemble the built-in authentication for one event loop: token service, key sets and token cache on one database.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html.
Proved by tests/gateway/auth/test_builtin.py.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.auth.access import Access
from gateway.auth.client_keys import KeySets
from gateway.auth.key_set_fetch import KeySetFetch
from gateway.auth.smart_configuration import Endpoints, builtin_configuration
from gateway.auth.token_cache import TokenCache, access_from
from gateway.auth.token_endpoint import ISSUE_PATH, LoginSeen
from gateway.auth.token_service import TokenService
from gateway.runtime.errors import ConfigError
from gateway.settings import Settings
from gateway.store.clients import StoredClients, StoredTokens, digest_of
from gateway.store.database.engine import Engine

_FHIR: Final = "/fhir"


def unnoted(_: LoginSeen) -> None:
    """Note nothing: stands in for the audit where there is none."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """Built-in authentication: `service` issues tokens, `tokens` checks them.

    `note_login` gets each answer of the token endpoint before it is sent; if it raises, no token is given out.
    """

    service: TokenService
    tokens: TokenCache
    note_login: Callable[[LoginSeen], None] = unnoted

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of a login."""
        return Endpoints(self.service.token_url)

    async def smart_configuration(self) -> Mapping[str, Any]:
        """Return the SMART configuration."""
        return builtin_configuration(self.service.token_url)

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return its background loops: none."""
        return ()


def builtin(engine: Engine, settings: Settings, note_login: Callable[[LoginSeen], None] = unnoted) -> Builtin:
    """Assemble the built-in authentication."""
    stored, fetch = StoredTokens(engine), KeySetFetch(allows_private=settings.auth.allow_private_jwks)

    async def look_up(token: str, at: int) -> Access | None:
        record = await stored.find(digest_of(token), at)
        return None if record is None else access_from(record)

    cache, clients = TokenCache(look_up), StoredClients(engine)
    service = TokenService(clients, stored, KeySets(fetch), token_url_of(settings), cache.forget)
    return Builtin(service, cache, note_login)


def token_url_of(settings: Settings) -> str:
    """Return the URL of the token endpoint as clients see it: below the issuer, else beside the FHIR base.

    Raises:
        ConfigError: there is no issuer, and the FHIR base does not end in /fhir.
    """
    issuer, fhir_base = settings.auth.issuer, settings.server.fhir_base
    if issuer is None and not fhir_base.endswith(_FHIR):
        problem = "missing, and server.public_url does not end in /fhir"
        raise ConfigError("settings", "auth.issuer", problem, "Write the URL under which clients reach /auth/token.")
    return (issuer.rstrip("/") if issuer else fhir_base.removesuffix(_FHIR)) + ISSUE_PATH
