"""Token endpoint over HTTP: POST `/auth/token`, `/auth/introspect` and `/auth/revoke`, form in and JSON out.

RFC 6749 §3.2 and §5 (errors, no caching), RFC 7662 §2, RFC 7009 §2. A fault of a request is a 400 or 401, never a 5xx;
only a database that does not answer is a 503.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.auth.refusals import TokenRefused
from gateway.auth.token_service import Form, TokenAnswer, TokenService
from gateway.runtime.errors import AuditUnavailable, StoreError
from gateway.runtime.log import get_logger
from gateway.runtime.metrics import ROUTE

ISSUE_PATH: Final = "/auth/token"
INTROSPECT_PATH: Final = "/auth/introspect"
REVOKE_PATH: Final = "/auth/revoke"
MOST_BYTES: Final = 16 * 1024
BODY_PATIENCE: Final = 10.0
_MOST_FIELDS: Final = 32
_FORM: Final = "application/x-www-form-urlencoded"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")
_HEADERS: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_RETRY_AFTER: Final = {"Retry-After": "5"}

_Act = Callable[[TokenService, Form], Awaitable[TokenAnswer]]
_ACTS: Final[Mapping[str, _Act]] = {
    ISSUE_PATH: TokenService.token,
    INTROSPECT_PATH: TokenService.introspect,
    REVOKE_PATH: TokenService.revoke,
}


@dataclass(frozen=True, slots=True)
class LoginSeen:
    """Answer of the token endpoint, for the audit: `client_id` is empty if no client was authenticated."""

    scope: Scope
    client_id: str
    status: int
    code: str
    request_id: str


def auth_routes() -> list[Route]:
    """Return the routes of the three endpoints; `app.state.auth` must be a `Builtin`."""
    return [Route(path, _TokenDoor(path, act)) for path, act in _ACTS.items()]


class _TokenDoor:
    """ASGI application of one endpoint; a class, since it must answer requests of every HTTP method."""

    def __init__(self, path: str, act: _Act) -> None:
        self._path, self._act = path, act

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        request = Request(scope, receive, send)
        headers = _HEADERS | {"X-Request-Id": secrets.token_hex(8)}
        if request.method != "POST":
            answer = JSONResponse({"error": "invalid_request"}, 405, headers | {"Allow": "POST"})
        else:
            answer = await self._answer(request, headers)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, headers: dict[str, str]) -> JSONResponse:
        log = {"operation": self._path.rpartition("/")[2], "request_id": headers["X-Request-Id"]}
        try:
            service = cast(TokenService, request.app.state.auth.service)
            answered = await self._act(service, await _form(request))
            self._note(request, answered.client_id, 200, "", log)
            return JSONResponse(answered.body, headers=headers)
        except TokenRefused as refused:
            self._note(request, "", refused.status, refused.reason, log)
            get_logger().warning("token-refused", code=refused.reason, status=refused.status, **log)
            body = {"error": refused.error, "error_description": refused.description}
            if refused.scheme:
                headers["WWW-Authenticate"] = f'{refused.scheme} realm="autoscribe-gateway"'
            return JSONResponse({name: one for name, one in body.items() if one}, refused.status, headers)
        except (StoreError, AuditUnavailable) as error:
            get_logger().error("token-failed", code=error.code, status=503, **log)
            return JSONResponse({"error": "temporarily_unavailable"}, 503, headers | _RETRY_AFTER)

    def _note(self, request: Request, client_id: str, status: int, code: str, log: Mapping[str, str]) -> None:
        """Write a login to the audit before it is answered.

        Raises:
            AuditUnavailable: it cannot be noted, so no token is given out.
        """
        request.app.state.auth.note_login(LoginSeen(request.scope, client_id, status, code, log["request_id"]))


async def _form(request: Request) -> Form:
    """Parse the form of a request; parameters without a value are left out.

    Raises:
        TokenRefused: it is no form, is over a limit, has a parameter twice, or comes with other credentials.
    """
    form = await posted_form(request)
    if (given := request.headers.get("authorization")) is not None:
        if form.get("client_assertion"):
            raise TokenRefused("invalid_request", "two-credentials", "there is more than one way of authentication")
        scheme = _SCHEME.match(given)
        raise TokenRefused("invalid_client", "authorization-header", scheme=scheme[0] if scheme else "Bearer")
    return form


async def posted_form(request: Request) -> Form:
    """Read the fields of a form; those without a value are left out.

    Raises:
        TokenRefused: it is no form, is over a limit, or has a field twice.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise TokenRefused("invalid_request", "no-form", f"the parameters are posted as {_FORM}")
    try:
        body = (await _body(request)).decode("ascii")
        pairs = parse_qsl(
            body, strict_parsing=True, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise TokenRefused(
            "invalid_request", "form-malformed", "the form cannot be read, or has too many fields"
        ) from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise TokenRefused("invalid_request", "parameter-twice", "a parameter stands there twice")
    return {name: value for name, value in pairs if value}


async def _body(request: Request) -> bytes:
    """Read the body, no further than the limit.

    Raises:
        TokenRefused: it is too long, too slow, or cut off.
    """
    read = bytearray()
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            async for chunk in request.stream():
                read += chunk
                if len(read) > MOST_BYTES:
                    raise TokenRefused("invalid_request", "too-large", f"the form is larger than {MOST_BYTES} bytes")
    except TimeoutError:
        raise TokenRefused("invalid_request", "too-slow", "the form did not come in time") from None
    except ClientDisconnect:
        raise TokenRefused("invalid_request", "cut-off") from None
    return bytes(read)
