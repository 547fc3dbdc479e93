"""Check the settings of authentication, and online what external issuer and identity provider answer.

https://openid.net/specs/openid-connect-discovery-1_0.html §4.3; decision D10.
Proved by tests/gateway/checks/test_login.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.auth.builtin import token_url_of
from gateway.auth.discovery import ALLOW_PRIVATE, Fetch, ask_issuer
from gateway.auth.external import token_rules
from gateway.auth.key_set_fetch import KeySetFetch
from gateway.auth.provider import provider_rules
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration, Settings

_REMEDIES = {
    ALLOW_PRIVATE: "Set it to true if the issuer is meant to be in your own network.",
    "auth.issuer": "Compare it with `iss` of a token, and open its discovery document from this machine.",
    "auth.jwks_url": "Open it from this machine: it must show the issuer's public keys.",
}
# Setting of the external issuer -> the one of the console's identity provider
_OF_CONSOLE = {ALLOW_PRIVATE: "console.allow_private", "auth.issuer": "console.issuer"}


def check_login(settings: Settings) -> None:
    """Check the settings of the mode that is set, and of the console's identity provider.

    Raises:
        ConfigError: one is missing or wrong.
    """
    if settings.auth.is_builtin:
        token_url_of(settings)
    if settings.auth.is_external:
        token_rules(settings)
    provider_rules(settings)


def faults(configuration: Configuration) -> Iterator[ConfigError]:
    """Yield the fault that `check_login` finds."""
    try:
        check_login(configuration.settings)
    except ConfigError as error:
        yield ConfigError(configuration.source, error.key, error.problem, error.cure)


async def online_faults(configuration: Configuration, fetch: Fetch | None = None) -> list[ConfigError]:
    """Ask external issuer and identity provider for discovery document and keys; return what is wrong."""
    auth, console = configuration.settings.auth, configuration.settings.console
    if list(faults(configuration)):
        return []
    wrong = []
    if auth.issuer and auth.is_external:
        fetches = fetch or KeySetFetch(allows_private=auth.allow_private_jwks)
        found = await ask_issuer(fetches, auth.issuer, auth.jwks_url)
        wrong += [(one.key, one.problem, _REMEDIES[one.key]) for one in found.faults]
    if console.issuer:
        fetches = fetch or KeySetFetch(allows_private=console.allow_private)
        found = await ask_issuer(fetches, console.issuer, None)
        wrong += [(_OF_CONSOLE[one.key], one.problem, _REMEDIES[one.key]) for one in found.faults]
    return [ConfigError(configuration.source, *one) for one in wrong]
