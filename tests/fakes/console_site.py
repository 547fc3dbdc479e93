"""The console's gate around a page for each role, over a real database, with browsers and an identity provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from fakes.identity_provider import CLIENT_ID, CLIENT_SECRET, ISSUER, FakeProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.auth.console_gate import ConsoleGate, ConsoleSeen, Refused, Role, SignInPage
from gateway.auth.operators import hashed
from gateway.auth.provider import IdentityProvider, provider_rules
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable
from gateway.settings import Settings
from gateway.store.clients import StoredOperator, StoredOperators
from gateway.store.database.engine import Engine, micros

ROOT = "https://gateway.example"
PASSWORD = "three words and a number"
OPENED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
POSTED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


def console_settings(**changes: Any) -> Settings:
    """Return settings of a console whose people come from the identity provider."""
    console = {
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "groups": {"radiology": "reader", "radiology-it": "operator"},
        "subjects": {"248-9": "admin"},
        **changes,
    }
    return Settings(server={"public_url": f"{ROOT}/fhir"}, console=console)


class Browser:
    """A browser with its cookies. `root` is how it calls the gateway, `peer` its address."""

    def __init__(self, site: ConsoleSite, root: str = ROOT, peer: str = "10.1.2.3") -> None:
        self._site, transport = site, httpx.ASGITransport(site.app, client=(peer, 4711))
        self.client = httpx.AsyncClient(transport=transport, base_url=root)

    async def open(self, path: str, **headers: str) -> httpx.Response:
        """Open an address, as somebody who types it."""
        return await self.client.get(path, headers=OPENED | headers)

    async def post(self, path: str, fields: Any = None, headers: Any = None) -> httpx.Response:
        """Post a form of a page of the console."""
        return await self.client.post(path, data=fields or {}, headers=POSTED if headers is None else headers)

    async def sign_in(self, name: str = "kim", password: str = PASSWORD, **fields: str) -> httpx.Response:
        """Post name and password."""
        return await self.post("/console/sign-in", {"name": name, "password": password, **fields})

    async def at_provider(self, to: str = "/console/") -> str:
        """Go to the identity provider and sign in there; return the address that it sends the browser to."""
        answer = await self.client.get("/console/sign-in/provider", params={"to": to}, headers=OPENED)
        assert answer.status_code == 303, answer.text
        back = urlsplit(await self._site.provider.visited(answer.headers["location"]))
        return f"{back.path}?{back.query}"

    async def by_provider(self, to: str = "/console/") -> httpx.Response:
        """Sign in at the identity provider, and come back."""
        return await self.open(await self.at_provider(to), **{"Sec-Fetch-Site": "cross-site"})

    async def role(self, headers: Any = None) -> str:
        """Return the name and role with which the console answers, empty if nobody is signed in."""
        answer = await self.client.get("/console/", headers=OPENED if headers is None else headers)
        return answer.text if answer.status_code == 200 else ""


@dataclass
class ConsoleSite:
    """Console of nothing but pages that need a role: `/console/` a watcher's, `/console/admin` an admin's."""

    engine: Engine
    provider: FakeProvider = field(default_factory=FakeProvider)
    settings: Settings = field(default_factory=console_settings)
    is_demo: bool = False
    seen: list[ConsoleSeen] = field(default_factory=list)
    is_audit_closed: bool = False
    monotonic: Callable[[], float] = clock.monotonic

    def __post_init__(self) -> None:
        self.stored = StoredOperators(self.engine)
        self.serve()

    def serve(self) -> None:
        """Start the console, or start it again with other settings."""
        rules = provider_rules(self.settings)
        provider = IdentityProvider(rules, self.provider, self.monotonic) if rules else None
        self.gate = ConsoleGate(self.engine, provider, self._note, rendered, is_demo=self.is_demo)
        pages = [
            Route("/console/", self._page(Role.WATCHER), methods=["GET", "POST"]),
            Route("/console/admin", self._page(Role.ADMIN), methods=["GET", "POST"]),
        ]
        self.app = Starlette(routes=[*self.gate.routes(), *pages])

    def browser(self, root: str = ROOT, peer: str = "10.1.2.3") -> Browser:
        """Return a new browser."""
        return Browser(self, root, peer)

    async def add(self, name: str = "kim", role: str = "operator", password: str = PASSWORD) -> StoredOperator:
        """Add a local account."""
        now = micros(clock.now())
        new = StoredOperator(name, role, hashed(password), now, now)
        assert await self.stored.add(new, "") == "done"
        return new

    def noted(self) -> list[tuple[str, str, int, str]]:
        """Return kind, subject, status and code of what was noted since the last call."""
        found = [(one.kind, one.subject, one.status, one.code) for one in self.seen]
        self.seen.clear()
        return found

    def _note(self, seen: ConsoleSeen) -> None:
        if self.is_audit_closed:
            raise AuditUnavailable("the audit journal is not open")
        self.seen.append(seen)

    def _page(self, least: Role) -> Any:
        async def answer(request: Request) -> Response:
            try:
                who = await self.gate.admit(request, least)
            except Refused as refused:
                way = self.gate.to_sign_in(request, refused)
                return way or PlainTextResponse(refused.message, refused.status, self.gate.headers())
            return PlainTextResponse(f"{who.name} {who.role.name}", headers=self.gate.headers())

        return answer


def rendered(_: Request, page: SignInPage) -> Response:
    """Show the page of the sign-in as lines."""
    lines = [page.message, page.to, str(page.has_accounts), page.provider_url or "", str(page.is_signed_out)]
    return PlainTextResponse("\n".join(lines), page.status)
