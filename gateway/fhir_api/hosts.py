"""Refuses requests addressed to a name that is not this gateway's: a page of another site may have sent them.

RFC 9110 §7.2 (Host) and §15.5.20 (421). While there is no authentication this is what stands against DNS rebinding.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import WrongHost
from gateway.fhir_api.outcome import error_response
from gateway.log import get_logger
from gateway.settings import is_loopback


class KnownHosts:
    """ASGI: loopback names and `names` pass, on any port; anything else is answered 421."""

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self.app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or self._knows(Headers(scope=scope).getlist("host")):
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        get_logger().warning(
            "request-refused", code=WrongHost.code, status=WrongHost.http_status, request_id=request_id
        )
        error = WrongHost("the Host header does not name this gateway")
        await error_response(error, scope, request_id)(scope, receive, send)

    def _knows(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        try:
            name = urlsplit(f"//{hosts[0]}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self._names
