"""Refuse requests without a valid bearer token, except at the public addresses.

RFC 6750 §2.1 (the Authorization header alone carries a token) and §3 (WWW-Authenticate); RFC 9110 §11.6.2. All that is
not named as open is closed, what does not exist included.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol
from urllib.parse import unquote_plus

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.auth.access import ACCESS, Access
from gateway.auth.smart_configuration import WELL_KNOWN
from gateway.auth.token_endpoint import INTROSPECT_PATH, ISSUE_PATH, REVOKE_PATH
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import get_logger
from gateway.runtime.request_errors import CredentialsMalformed, NotAuthenticated

CONSOLE: Final = "/console/"
# Open: what a client needs before it has a token; probes, which say nothing of patients; metrics, which are counts, and
# which Prometheus cannot sign for (a site closes them at its proxy); events of AutoScribe, which prove themselves.
# The console has a gate of its own (console_gate.py).
# The API description and its page (/docs) are closed: a stranger need not learn what is here
OPEN: Final = frozenset(
    {
        *("/fhir/metadata", WELL_KNOWN, ISSUE_PATH, INTROSPECT_PATH, REVOKE_PATH),
        *("/livez", "/readyz", "/metrics", "/webhooks/autoscribe", CONSOLE[:-1]),
    }
)
_LONGEST: Final = 16 * 1_024  # a JWT with the groups of a user is long
_SCHEME: Final = b"bearer "
_BEARER: Final = re.compile(r".{6} +([A-Za-z0-9._~+/-]+=*)")
_IN_QUERY: Final = "access_token"

Refuse = Callable[[Exception, Scope, str], ASGIApp]


class Authenticator(Protocol):
    """Checker of bearer tokens."""

    def warm(self, token: bytes) -> Access | None:
        """Return the access of a token if no look-up is needed, else None; takes any bytes."""

    def access(self, token: str) -> Awaitable[Access | None]:
        """Return the access of a token, None if it is not valid."""


class BearerGate:
    """ASGI middleware: gives each request the access of its token; else `refuse` answers 400, 401 or 503.

    `open_app` answers at the addresses that are open. `app.state.auth.tokens` must be an `Authenticator`.
    """

    def __init__(self, app: ASGIApp, open_app: ASGIApp, refuse: Refuse) -> None:
        self._app, self._open_app, self._refuse = app, open_app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN or scope["path"].startswith(CONSOLE):
            await self._open_app(scope, receive, send)
            return
        try:
            value = _credentials(scope)
            tokens: Authenticator = scope["app"].state.auth.tokens
            # A token that was good has only bytes that a token may have, so these are not looked at again
            access = tokens.warm(value[len(_SCHEME) :]) or await _access(tokens, value)
        except GatewayError as error:
            request_id = secrets.token_hex(8)
            get_logger().warning("request-refused", code=error.code, status=error.http_status, request_id=request_id)
            await self._refuse(error, scope, request_id)(scope, receive, send)
            return
        scope[ACCESS] = access
        await self._app(scope, receive, send)


async def _access(tokens: Authenticator, value: bytes) -> Access:
    """Return the access that the token of an Authorization header gives.

    Raises:
        CredentialsMalformed: it is not one readable token.
        NotAuthenticated: it is not valid.
        StoreUnavailable, IssuerUnavailable: nobody can say if it is valid.
    """
    match = _BEARER.fullmatch(value.decode("latin-1")) if len(value) <= _LONGEST else None
    if match is None:
        raise CredentialsMalformed("the Authorization header is not `Bearer` with one token")
    access = await tokens.access(match[1])
    if access is None:
        raise NotAuthenticated("the access token is not valid, or not any more", has_token=True)
    return access


def _credentials(scope: Scope) -> bytes:
    """Return the one Authorization header of a request, if its scheme is `Bearer`.

    Raises:
        CredentialsMalformed: a token stands in the query, or there is more than one Authorization header.
        NotAuthenticated: there is no token.
    """
    query: bytes = scope["query_string"]
    if query and _holds_token(query):
        raise CredentialsMalformed("an access token may not stand in the URL, which is written to logs")
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None:
                raise CredentialsMalformed("there is more than one Authorization header")
            found = value
    if found is None:
        raise NotAuthenticated("an access token is needed")
    if found[: len(_SCHEME)].lower() != _SCHEME:
        raise NotAuthenticated("an access token is needed; other schemes of authentication are not taken")
    return found


def _holds_token(query: bytes) -> bool:
    text: Any = query.decode("latin-1")
    if _IN_QUERY not in text and "%" not in text:
        return False
    return any(unquote_plus(field.partition("=")[0]) == _IN_QUERY for field in text.split("&"))
