"""Read the external issuer's discovery document, and fetch its keys.

https://openid.net/specs/openid-connect-discovery-1_0.html §4 (document) and §4.3 (its `issuer` must be equal). Each
fault names the setting to look at; no fault shows what the issuer answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.auth.key_set import ISSUER_ALGORITHMS, KeySetInvalid, PublicKeys, key_set
from gateway.auth.key_set_fetch import KeySetUnreachable, url_fault
from gateway.auth.smart_configuration import PERMISSIONS, SCOPES, Endpoints
from gateway.auth.strict_json import strict_object

WELL_KNOWN: Final = "/.well-known/openid-configuration"
ISSUER, JWKS_URL, ALLOW_PRIVATE = "auth.issuer", "auth.jwks_url", "auth.allow_private_jwks"
# Members that a SMART configuration has in common with a discovery document
_URLS: Final = (
    *("jwks_uri", "authorization_endpoint", "token_endpoint", "registration_endpoint"),
    *("introspection_endpoint", "revocation_endpoint"),
)
END_SESSION: Final = "end_session_endpoint"  # only of OpenID Connect: a client of the facade has no session
METHODS: Final = "token_endpoint_auth_methods_supported"
_CHALLENGES: Final = "code_challenge_methods_supported"
# Member -> what holds if the document does not have it (§3)
_LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "grant_types_supported": ("authorization_code", "implicit"),
    "response_types_supported": (),
    METHODS: ("client_secret_basic",),
    "token_endpoint_auth_signing_alg_values_supported": (),
    _CHALLENGES: (),
}
# Way in which a client proves itself to the issuer -> SMART capability
_CAPABILITIES: Final = {
    "private_key_jwt": "client-confidential-asymmetric",
    "client_secret_basic": "client-confidential-symmetric",
    "client_secret_post": "client-confidential-symmetric",
    "none": "client-public",
}
# An issuer that knows people gives out scopes of three contexts; the built-in authentication gives out `system/` alone
_SCOPES: Final = (*SCOPES, "user/*.rs", "patient/*.rs")
_PERMISSIONS: Final = (*PERMISSIONS, "permission-user", "permission-patient")

Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class IssuerFault:
    """Fault of an issuer: the setting to look at, a fixed code for the log, and words for the operator."""

    key: str
    code: str
    problem: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """Discovery document: its https URLs, and its lists of texts, by member name."""

    urls: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]

    @property
    def endpoints(self) -> Endpoints | None:
        """Addresses of a login, None if the issuer names no token endpoint."""
        token = self.urls.get("token_endpoint")
        return Endpoints(token, self.urls.get("authorization_endpoint")) if token else None


@dataclass(frozen=True, slots=True)
class IssuerAnswer:
    """Answer of an issuer: discovery document and keys, as far as they could be used."""

    discovery: Discovery | None
    keys: PublicKeys | None
    faults: tuple[IssuerFault, ...]


async def ask_issuer(fetch: Fetch, issuer: str, jwks_url: str | None) -> IssuerAnswer:
    """Fetch an issuer's discovery document and its keys: at `jwks_url`, else where the document says."""
    discovery = await _discovery(fetch, issuer)
    if isinstance(discovery, IssuerFault) and jwks_url is None:
        return IssuerAnswer(None, None, (discovery,))
    found, faults = (None, [discovery]) if isinstance(discovery, IssuerFault) else (discovery, [])
    url, key = (jwks_url, JWKS_URL) if jwks_url else ((found.urls.get("jwks_uri") if found else None), ISSUER)
    keys = await _keys(fetch, url, key)
    if isinstance(keys, IssuerFault):
        return IssuerAnswer(found, None, (*faults, keys))
    return IssuerAnswer(found, keys, tuple(faults))


def smart_configuration_of(issuer: str, discovery: Discovery) -> Mapping[str, Any]:
    """Build the SMART configuration that sends clients to the issuer, with the capabilities it names."""
    methods = discovery.lists[METHODS]
    capabilities = dict.fromkeys(_CAPABILITIES[one] for one in methods if one in _CAPABILITIES)
    return {
        "issuer": issuer,
        **{name: url for name, url in discovery.urls.items() if name != END_SESSION},
        **{name: list(values) for name, values in discovery.lists.items() if values},
        "scopes_supported": list(_SCOPES),
        "capabilities": [*capabilities, *_PERMISSIONS],
    }


async def _discovery(fetch: Fetch, issuer: str) -> Discovery | IssuerFault:
    try:
        document = strict_object(await fetch(issuer.rstrip("/") + WELL_KNOWN))
    except KeySetUnreachable as error:
        return _unreachable(ISSUER, "discovery", error.reason)
    except ValueError:
        return IssuerFault(ISSUER, "discovery-malformed", "the discovery document is no JSON object")
    if document.get("issuer") != issuer:
        problem = "the discovery document names another issuer; a slash at the end counts"
        return IssuerFault(ISSUER, "discovery-of-another-issuer", problem)
    urls = {name: document[name] for name in (*_URLS, END_SESSION) if isinstance(document.get(name), str)}
    lists = {name: _texts(document.get(name), default) for name, default in _LISTS.items()}
    lists[_CHALLENGES] = tuple(one for one in lists[_CHALLENGES] if one != "plain")  # SMART forbids `plain`
    return Discovery({name: url for name, url in urls.items() if not url_fault(url)}, lists)


async def _keys(fetch: Fetch, url: str | None, key: str) -> PublicKeys | IssuerFault:
    if url is None:
        return IssuerFault(key, "no-jwks-uri", "the discovery document has no jwks_uri that is an https URL")
    try:
        return key_set(await fetch(url), ISSUER_ALGORITHMS)
    except KeySetUnreachable as error:
        return _unreachable(key, "jwks", error.reason)
    except KeySetInvalid as error:
        return IssuerFault(key, "jwks-malformed", f"the issuer's key set cannot be used: {error}")


def _unreachable(key: str, what: str, reason: str) -> IssuerFault:
    document = {"discovery": "discovery document", "jwks": "key set"}[what]
    if reason == "private-address":
        return IssuerFault(ALLOW_PRIVATE, f"{what}-{reason}", f"the {document} is at a private or loopback address")
    return IssuerFault(key, f"{what}-{reason}", f"the {document} cannot be fetched ({reason})")


def _texts(value: Any, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else default
