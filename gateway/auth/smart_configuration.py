"""SMART configuration of the built-in authentication: `/fhir/.well-known/smart-configuration`.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
Proved by tests/gateway/auth/test_smart_configuration.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.auth.key_set import ALGORITHMS
from gateway.auth.scopes import ADDENDUM
from gateway.auth.token_service import GRANT
from gateway.runtime.metrics import ROUTE

WELL_KNOWN: Final = "/fhir/.well-known/smart-configuration"
_METHODS: Final = ["private_key_jwt"]


def smart_configuration(token_url: str) -> Mapping[str, Any]:
    """Build the configuration; the other endpoints stand beside the token endpoint."""
    base = token_url.rpartition("/")[0]
    configuration: dict[str, Any] = {"grant_types_supported": [GRANT]}
    for name, path in (("token", "token"), ("introspection", "introspect"), ("revocation", "revoke")):
        configuration[f"{name}_endpoint"] = f"{base}/{path}"
        configuration[f"{name}_endpoint_auth_methods_supported"] = _METHODS
        configuration[f"{name}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    return configuration | {
        "scopes_supported": ["system/*.rs", f"system/DiagnosticReport.{ADDENDUM}"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        "code_challenge_methods_supported": ["S256"],  # the standard wants it of servers without user login, too
    }


class SmartConfiguration:
    """ASGI middleware: answers at its one address, and passes all other requests on."""

    def __init__(self, app: ASGIApp, token_url: str) -> None:
        self._app, self._token_url = app, token_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] != "http" or scope["path"] != WELL_KNOWN:
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = WELL_KNOWN
        headers = {"Cache-Control": "no-store"}
        answer = JSONResponse(dict(smart_configuration(self._token_url)), headers=headers)
        if scope["method"] not in {"GET", "HEAD"}:
            answer = JSONResponse({"error": "invalid_request"}, 405, headers | {"Allow": "GET, HEAD"})
        elif scope["method"] == "HEAD":
            answer.body = b""
        await answer(scope, receive, send)
