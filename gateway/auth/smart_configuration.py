"""Serve the SMART configuration, which tells clients where to log in: `/fhir/.well-known/smart-configuration`.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
Proved by tests/gateway/auth/test_smart_configuration.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.auth.key_set import ALGORITHMS
from gateway.auth.scopes import ADDENDUM
from gateway.auth.token_service import GRANT
from gateway.runtime.errors import IssuerUnavailable
from gateway.runtime.metrics import ROUTE

WELL_KNOWN: Final = "/fhir/.well-known/smart-configuration"
SCOPES: Final = ("system/*.rs", f"system/DiagnosticReport.{ADDENDUM}")
PERMISSIONS: Final = ("permission-v1", "permission-v2")
_METHODS: Final = ["private_key_jwt"]
_RETRY_AFTER: Final = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """URLs of a login: `token` for programs, `authorize` for people, if there is one."""

    token: str
    authorize: str | None = None


class Configured(Protocol):
    """Source of the SMART configuration."""

    async def smart_configuration(self) -> Mapping[str, Any]:
        """Return the configuration.

        Raises:
            IssuerUnavailable: the external issuer was never reached.
        """


def builtin_configuration(token_url: str) -> Mapping[str, Any]:
    """Build the SMART configuration of the built-in authentication; its endpoints lie beside the token endpoint."""
    base = token_url.rpartition("/")[0]
    configuration: dict[str, Any] = {"grant_types_supported": [GRANT]}
    for name, path in (("token", "token"), ("introspection", "introspect"), ("revocation", "revoke")):
        configuration[f"{name}_endpoint"] = f"{base}/{path}"
        configuration[f"{name}_endpoint_auth_methods_supported"] = _METHODS
        configuration[f"{name}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    return configuration | {
        "scopes_supported": list(SCOPES),
        "capabilities": ["client-confidential-asymmetric", *PERMISSIONS],
        "code_challenge_methods_supported": ["S256"],  # the standard wants it of servers without user login, too
    }


class SmartConfiguration:
    """ASGI middleware: answers at the SMART configuration's address, and passes all other requests on.

    `app.state.auth` must be a `Configured`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] != "http" or scope["path"] != WELL_KNOWN:
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = WELL_KNOWN
        headers = {"Cache-Control": "no-store"}
        if scope["method"] not in {"GET", "HEAD"}:
            answer = JSONResponse({"error": "invalid_request"}, 405, headers | {"Allow": "GET, HEAD"})
        else:
            answer = await _configuration(scope["app"].state.auth, headers)
        if scope["method"] == "HEAD":
            answer.body = b""
        await answer(scope, receive, send)


async def _configuration(source: Configured, headers: dict[str, str]) -> JSONResponse:
    try:
        return JSONResponse(dict(await source.smart_configuration()), headers=headers)
    except IssuerUnavailable:
        return JSONResponse({"error": "temporarily_unavailable"}, 503, headers | _RETRY_AFTER)
