"""Let web pages of the listed origins, and no others, read FHIR answers in a browser (CORS).

https://fetch.spec.whatwg.org/#http-cors-protocol. An origin is listed by name: there is no `*`, and no credentials of
the browser (cookies) are ever allowed. SMART App Launch 2.2 asks for CORS where browser apps are to be served.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.fhir_api.facade import is_fhir

EXPOSED: Final = "ETag, Last-Modified, Location, Retry-After, X-Request-Id"
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": (
        "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, "
        "If-None-Match, Prefer, Range"
    ),
    "Access-Control-Max-Age": "600",  # seconds: a changed list of origins acts within ten minutes
}


class ListedOrigins:
    """ASGI middleware: answers preflight requests of `origins`, and lets their pages read FHIR answers."""

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer a preflight request."""
        if scope["type"] != "http" or not is_fhir(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.getlist("origin")
        is_listed = len(given) == 1 and given[0] in self._origins
        added = [(b"vary", b"Origin")]  # also without Origin: a shared cache must not mix the answers
        if is_listed:
            added += [
                (b"access-control-allow-origin", given[0].encode("latin-1")),
                (b"access-control-expose-headers", EXPOSED.encode()),
            ]

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += added
            await send(message)

        is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        answer = Response(status_code=204, headers=_PREFLIGHT) if is_listed and is_preflight else self._app
        await answer(scope, receive, watch)
