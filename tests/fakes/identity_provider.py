"""A hospital's identity provider for the tests: discovery, authorize, token, keys and sign-out, as a Starlette app.

https://openid.net/specs/openid-connect-core-1_0.html §3.1. A test changes what it says, signs by, or leaves out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

import httpx
from fakes.assertions import public_jwk, signed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.auth.key_set_fetch import KeySetUnreachable
from gateway.runtime import clock

ISSUER = "https://login.hospital.example/realms/staff"
CLIENT_ID, CLIENT_SECRET = "console of City", "s3cret/+ of the console"


@dataclass
class FakeProvider:
    """Provider whose one person is `claims`. `keys` are shown, and `key` signs; `says` changes the discovery document.

    With `checks_pkce` False it does not ask for the verifier; `is_down`: it answers nothing.
    """

    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "248-1", "name": "Ann Lee", "groups": ["radiology"]})
    keys: tuple[str, ...] = ("RS256 a",)
    key: str = "RS256 a"
    says: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    is_down: bool = False
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    redeemed: list[Mapping[str, str]] = field(default_factory=list)
    signed_out: list[Mapping[str, str]] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        routes = {
            "/.well-known/openid-configuration": (self._discovery, "GET"),
            "/authorize": (self._authorize, "GET"),
            "/token": (self._token, "POST"),
            "/keys": (self._keys, "GET"),
            "/end": (self._end, "GET"),
        }
        path = ISSUER.removeprefix("https://login.hospital.example")
        self.app = Starlette(routes=[Route(path + one, act, methods=[how]) for one, (act, how) in routes.items()])
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app))

    async def __call__(self, url: str) -> bytes:
        """Fetch a document, as `KeySetFetch` does."""
        return self._read(await self.client.get(self._asked(url)))

    async def post(self, url: str, form: Mapping[str, str], authorization: str) -> bytes:
        """Post a form, as `KeySetFetch` does."""
        headers = {"Authorization": authorization} if authorization else {}
        return self._read(await self.client.post(self._asked(url), data=dict(form), headers=headers))

    async def visited(self, url: str) -> str:
        """Open an address as a browser that is signed in here; return where it leads."""
        answer = await self.client.get(url)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def _asked(self, url: str) -> str:
        if self.is_down:
            raise KeySetUnreachable("no-answer")
        self.fetched.append(url.removeprefix(ISSUER))
        return url

    @staticmethod
    def _read(answer: httpx.Response) -> bytes:
        if answer.status_code != 200:
            raise KeySetUnreachable(f"status-{answer.status_code}")
        return answer.content

    async def _discovery(self, _: Request) -> Response:
        made = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "end_session_endpoint": f"{ISSUER}/end",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            **self.says,
        }
        return JSONResponse({name: one for name, one in made.items() if one is not None})

    async def _keys(self, _: Request) -> Response:
        return Response(json.dumps({"keys": [public_jwk(one) for one in self.keys]}))

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT_ID
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        query = urlencode({"code": code, "state": asked["state"], "iss": ISSUER})
        return RedirectResponse(f"{asked['redirect_uri']}?{query}", 302)

    async def _token(self, request: Request) -> Response:
        form = {name: str(one) for name, one in (await _form(request)).items()}
        self.redeemed.append(form)
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"] or not _is_client(request, form):
            return JSONResponse({"error": "invalid_grant"}, 400)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked.get("code_challenge"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        id_token = self.token if self.token is not None else self.minted(asked["nonce"])
        return JSONResponse({"access_token": "unused", "token_type": "Bearer", "id_token": id_token})

    def minted(self, nonce: str) -> str:
        """Return an ID token; a claim that is None is left out."""
        now = int(clock.now().timestamp())
        made = {"iss": ISSUER, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce, **self.claims}
        return signed({name: one for name, one in made.items() if one is not None}, self.key, **self.header)

    async def _end(self, request: Request) -> Response:
        self.signed_out.append(dict(request.query_params))
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode()))


def _is_client(request: Request, form: Mapping[str, str]) -> bool:
    """True if id and secret of the client stand in the header or in the form (RFC 6749 §2.3.1)."""
    given = form.get("client_id", ""), form.get("client_secret", "")
    if header := request.headers.get("authorization", ""):
        name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        given = unquote_plus(name), unquote_plus(secret)
    return given == (CLIENT_ID, CLIENT_SECRET)
