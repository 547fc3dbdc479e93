"""Refuses requests addressed to a name that is not this gateway's: a page of another site may have sent them.

RFC 9110 §7.2 (Host) and §15.5.20 (421), RFC 9112 §3.2 (not one Host: 400). While there is no authentication this is
what stands against DNS rebinding.
Webhooks are told from forged ones by their signature, and probes and metrics show nothing of a patient: AutoScribe, a
load balancer and Prometheus may call this machine by any name.
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
from gateway.runtime.errors import BadRequest, RequestError, WrongHost
from gateway.runtime.log import get_logger
from gateway.settings import is_loopback

UNNAMED: Final = frozenset({"/webhooks/autoscribe", "/livez", "/readyz", "/metrics"})
_MOST_REMEMBERED: Final = 256


class KnownHosts:
    """ASGI: loopback names and `names` pass, on any port, and `UNNAMED` by any name; anything else is answered 421."""

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
        """What is wrong with the Host headers of a request."""
        if len(hosts) != 1:
            return BadRequest("a request has one Host header")
        return None if self._knows(hosts[0]) else WrongHost("the Host header does not name this gateway")

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self._names
