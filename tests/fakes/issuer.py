"""An identity provider for the tests: its documents, tokens made by PyJWT, and a gateway that trusts it alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
from fakes.assertions import NOW, public_jwk, signed
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from gateway.auth.access import access_of
from gateway.auth.bearer import BearerGate
from gateway.auth.external import External, external
from gateway.auth.external_token import TokenRules
from gateway.auth.key_set_fetch import KeySetUnreachable
from gateway.auth.smart_configuration import SmartConfiguration
from gateway.fhir_api.http.outcome import error_response
from gateway.settings import Settings
from gateway.store.clients import RegisteredClient, StoredClients
from gateway.store.database.engine import Engine
from mappings.profile import Site

ISSUER = "https://login.example/realms/city"
AUDIENCE = "https://gateway.example/fhir"
APP = "city-ehr"
KEY = "RS256 a"
RULES = TokenRules(ISSUER, AUDIENCE, "scope", "patient")
DISCOVERY_URL = f"{ISSUER}/.well-known/openid-configuration"
JWKS_URL = f"{ISSUER}/keys"
SCOPES = "system/*.rs user/Patient.rs patient/*.rs"
REGISTERED = RegisteredClient(APP, "City EHR", SCOPES, None, NOW * 1_000_000)


def token_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token; a change to None takes a claim out."""
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "azp": APP,
        "sub": "user-1",
        "iat": NOW,
        "exp": NOW + 600,
        "scope": "openid system/DiagnosticReport.rs",
        **changes,
    }
    return {name: one for name, one in made.items() if one is not None}


def minted(key: str = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a token of the issuer, signed by a key that is named by its algorithm and a letter."""
    return signed(token_claims(**changes), key, **{"typ": "at+jwt", **(header or {})})


def described(**changes: Any) -> dict[str, Any]:
    """Return a discovery document; a change to None takes a member out."""
    made = {
        "issuer": ISSUER,
        "jwks_uri": JWKS_URL,
        "token_endpoint": f"{ISSUER}/token",
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"],
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "code_challenge_methods_supported": ["plain", "S256"],
        **changes,
    }
    return {name: one for name, one in made.items() if one is not None}


class Documents:
    """Documents of the issuer that a test changes; None: it does not answer there. `asked` has the URLs asked for."""

    def __init__(self, *keys: str) -> None:
        self.by_url: dict[str, bytes | None] = {DISCOVERY_URL: json.dumps(described()).encode()}
        self.asked: list[str] = []
        self.has_keys(*(keys or (KEY,)))

    def has_keys(self, *names: str, **changes: Any) -> None:
        """Show these keys from here on."""
        self.by_url[JWKS_URL] = json.dumps({"keys": [public_jwk(one, **changes) for one in names]}).encode()

    def is_silent(self) -> None:
        """Answer nothing from here on."""
        self.by_url = dict.fromkeys(self.by_url)

    async def fetch(self, url: str) -> bytes:
        """Return a document, as `KeySetFetch` does."""
        self.asked.append(url)
        document = self.by_url.get(url)
        if document is None:
            raise KeySetUnreachable("no-answer")
        return document


def external_settings(**changes: Any) -> Settings:
    """Return settings that trust the issuer."""
    auth = {"mode": "external", "issuer": ISSUER, "audience": AUDIENCE, **changes}
    return Settings(server={"public_url": AUDIENCE}, auth=auth)


async def _here(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the access that the gate gave."""
    access = access_of(scope)
    assert access is not None
    body = {
        "client": access.client_id,
        "scopes": [str(one) for one in access.scopes],
        "user": access.user,
        "patient": access.patient,
        "facilities": None if access.facilities is None else sorted(access.facilities),
    }
    await JSONResponse(body)(scope, receive, send)


@dataclass
class ExternalSite:
    """Gateway for gated requests, whose issuer is `documents`."""

    parts: External
    client: httpx.AsyncClient
    clients: StoredClients
    documents: Documents

    async def get(self, token: str | None, path: str = "/fhir/Patient/1") -> httpx.Response:
        """Ask for an address with a token."""
        return await self.client.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})


async def external_site(engine: Engine, *registered: RegisteredClient, **changes: Any) -> ExternalSite:
    """Make the gateway on an open database, with clients registered; `changes` are settings of `[auth]`."""
    documents = Documents()
    parts = external(engine, external_settings(**changes), Site(), documents.fetch)
    app = Starlette()
    app.state.auth = parts
    app.mount("/", _here)
    inner = BearerGate(app, SmartConfiguration(app), error_response)

    async def gated(scope: Any, receive: Any, send: Any) -> None:
        scope["app"] = app
        await inner(scope, receive, send)

    made = httpx.AsyncClient(transport=httpx.ASGITransport(gated), base_url="http://gateway.example")
    clients = StoredClients(engine)
    for one in registered or (REGISTERED,):
        assert await clients.add(one, "") == "done"
    return ExternalSite(parts, made, clients, documents)
