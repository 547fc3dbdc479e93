"""Add security headers to every answer: browsers and proxies must not store, sniff or embed it.

RFC 9111 §5.2.2.5 (no-store), https://fetch.spec.whatwg.org/#x-content-type-options-header and
https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header. This layer is the only place that writes them, so
that no answer lacks them: errors, refusals of other layers, probes and `/docs` included.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.fhir_api.facade import is_fhir

_GUARDS: Final = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))
_NOT_STORED: Final = (*_GUARDS, (b"cache-control", b"no-store"))
_REVALIDATED: Final = (*_GUARDS, (b"cache-control", b"private, no-cache"))


class SafeHeaders:
    """ASGI middleware: adds the headers to every answer.

    With `revalidates`, a client may keep the answer to a FHIR GET, if it asks each time whether that is still current.
    """

    def __init__(self, app: ASGIApp, *, revalidates: bool = False) -> None:
        self._app, self._revalidates = app, revalidates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        may_be_kept = self._revalidates and scope["method"] in {"GET", "HEAD"} and is_fhir(scope)

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                is_kept = may_be_kept and message["status"] < HTTPStatus.BAD_REQUEST
                message["headers"] += _REVALIDATED if is_kept else _NOT_STORED
            await send(message)

        await self._app(scope, receive, watch)
