"""Console in front of a site with destinations, and a stand-in for the sign-in: a header names the role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.app import create_app
from gateway.auth.console_gate import ContentPolicy, Refused, Role, SignedIn, console_headers
from gateway.console.pages import PAGES
from gateway.runtime.command_words import API, CONSOLE
from gateway.settings import Configuration

ORIGIN = "http://127.0.0.1:8800"
ROLE = "x-test-role"
OWN_FORM = {"Sec-Fetch-Site": "same-origin"}


class StandInGate:
    """Gate that believes a header."""

    def __init__(self) -> None:
        self._forms: set[str] = set()

    async def is_first(self, form: str) -> bool:
        is_new = form not in self._forms
        self._forms.add(form)
        return is_new

    def routes(self) -> Sequence[Any]:
        return ()

    def loops(self) -> Sequence[Any]:
        return ()

    async def admit(self, request: Request, least: Role) -> SignedIn:
        role = request.headers.get(ROLE)
        if not role:
            raise Refused("not-signed-in")
        found = SignedIn(f"local:{role}", role.title(), Role[role.upper()], "digest")
        if found.role < least:
            raise Refused("role-too-small", 403, found.subject)
        if request.method == "POST" and request.headers.get("sec-fetch-site") != "same-origin":
            raise Refused("another-site", 403, found.subject)
        return found

    def to_sign_in(self, request: Request, refused: Refused) -> Response | None:
        is_person = refused.status == 401 and request.headers.get("sec-fetch-mode") == "navigate"
        return RedirectResponse("/console/sign-in", 303, self.headers()) if is_person else None

    def headers(self, policy: ContentPolicy | None = None) -> Mapping[str, str]:
        return console_headers(policy)


class Console:
    """Client of the console, signed in with a role."""

    def __init__(self, client: httpx.AsyncClient, app: Any) -> None:
        self.client, self.app = client, app

    async def get(self, path: str = "", role: str | None = "reader", **more: Any) -> httpx.Response:
        headers = {**({ROLE: role} if role else {}), **more.pop("headers", {})}
        return await self.client.get(f"{ORIGIN}/console/{path}", headers=headers, **more)

    async def post(self, path: str, role: str = "reader", headers: Mapping[str, str] = OWN_FORM, **data: str) -> Any:
        sent = {ROLE: role, **headers}
        return await self.client.post(f"{ORIGIN}/console/{path}", headers=sent, data=data)


@asynccontextmanager
async def consoled(configuration: Configuration) -> AsyncIterator[Console]:
    """Open the console over the database of a site."""
    app = create_app(configuration, (API, CONSOLE), console=PAGES)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
        app.state.console_gate = StandInGate()
        yield Console(client, app)
