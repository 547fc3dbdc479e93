"""A gateway that is nothing but its built-in authentication, over a real database, for the tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
from fakes.assertions import CLIENT, NOW, claims, jwks, signed
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from gateway.auth.access import access_of
from gateway.auth.bearer import BearerGate
from gateway.auth.builtin import Builtin, builtin
from gateway.auth.smart_configuration import SmartConfiguration
from gateway.auth.token_endpoint import auth_routes
from gateway.auth.token_service import ASSERTION_TYPE
from gateway.fhir_api.http.outcome import error_response
from gateway.settings import Settings
from gateway.store.clients import ClientKeySet, RegisteredClient, StoredClients
from gateway.store.database.engine import Engine

REGISTERED = RegisteredClient(
    CLIENT,
    "Test client",
    "system/DiagnosticReport.rs system/Patient.r",
    None,
    NOW * 1_000_000,
    key_sets=(ClientKeySet(jwks("RS384 a", "ES384 a").decode()),),
)


def form(compact: str | None = None, **changes: Any) -> dict[str, str]:
    """Return the fields of a good token request; a change to None takes one out."""
    fields = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": compact if compact is not None else signed(claims()),
        **changes,
    }
    return {name: one for name, one in fields.items() if one is not None}


async def _here(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the access that the gate gave."""
    access = access_of(scope)
    body = {
        "client": access.client_id if access else None,
        "scopes": [str(one) for one in access.scopes] if access else [],
    }
    await JSONResponse(body)(scope, receive, send)


@dataclass
class TokenSite:
    """Gateway for token requests and gated requests; `at` is the time of its token service in seconds."""

    parts: Builtin
    client: httpx.AsyncClient
    clients: StoredClients
    at: float = NOW

    async def post(self, path: str = "/auth/token", fields: Any = None, **options: Any) -> httpx.Response:
        """Post a form; a good token request if no fields are given."""
        if "content" not in options:
            options["data"] = form() if fields is None else fields
        return await self.client.post(path, **options)

    async def token(self, **changes: Any) -> str:
        """Return a new token."""
        answer = await self.post(fields=form(**changes))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def get(self, path: str = "/fhir/Patient/1", token: str | None = None, **options: Any) -> httpx.Response:
        """Ask for an address, with a token if one is given."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.client.get(path, headers=headers, **options)


async def token_site(engine: Engine, *, registered: RegisteredClient | None = REGISTERED) -> TokenSite:
    """Make the gateway on an open database, with one client registered."""
    parts = builtin(engine, Settings(server={"public_url": "https://gateway.example/fhir"}))
    app = Starlette(routes=auth_routes())
    app.mount("/", _here)
    inner = BearerGate(app, SmartConfiguration(app), error_response)

    async def gated(scope: Any, receive: Any, send: Any) -> None:
        scope["app"] = app
        await inner(scope, receive, send)

    made = httpx.AsyncClient(transport=httpx.ASGITransport(gated), base_url="http://gateway.example")
    clients = StoredClients(engine)
    site = TokenSite(parts, made, clients)
    service = replace(parts.service, now=lambda: datetime.fromtimestamp(site.at, UTC))
    site.parts = app.state.auth = Builtin(service, parts.tokens)
    if registered is not None:
        await clients.add(registered, "")
    return site
