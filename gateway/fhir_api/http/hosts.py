"""Refuse requests whose Host header does not name this gateway, to prevent DNS rebinding.

RFC 9110 §7.2 (Host) and §15.5.20 (421), RFC 9112 §3.2 (not exactly one Host: 400). Without authentication, this check
alone keeps a web page of another site from reading the gateway.
Webhooks prove themselves by their signature, and probes and metrics hold no patient data. So AutoScribe, a load
balancer and Prometheus may call this machine by any name.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.fhir_api.http.outcome import error_response
from gateway.runtime.log import get_logger
from gateway.runtime.request_errors import BadRequest, RequestError, WrongHost
from gateway.settings import is_loopback

UNNAMED: Final = frozenset({"/webhooks/autoscribe", "/livez", "/readyz", "/metrics"})
_MOST_REMEMBERED: Final = 256


class KnownHosts:
    """ASGI middleware: answers 421 unless Host is loopback or in `names` (any port), or the path is in `UNNAMED`."""

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self.app = app
        self._names = frozenset(name.lower() for name in names)
        self._knows = lru_cache(_MOST_REMEMBERED)(self._is_known)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        is_open = scope["type"] != "http" or scope["path"] in UNNAMED
        error = None if is_open else self._fault(Headers(scope=scope).getlist("host"))
        if error is None:
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        get_logger().warning("request-refused", code=error.code, status=error.http_status, request_id=request_id)
        await error_response(error, scope, request_id)(scope, receive, send)

    def _fault(self, hosts: list[str]) -> RequestError | None:
        """Return the error in the Host headers of a request, None if they are fine."""
        if len(hosts) != 1:
            return BadRequest("a request has one Host header")
        return None if self._knows(hosts[0]) else WrongHost("the Host header does not name this gateway")

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self._names
