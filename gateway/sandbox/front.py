"""Middleware of the AutoScribe look-alike: latency, rate limit, API key check, and request id.

RFC 6750 §2.1 (Bearer), RFC 6585 §4 (429 Too Many Requests).
Proved by tests/gateway/sandbox/test_api.py.
"""

from __future__ import annotations

import secrets
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.runtime import clock
from gateway.sandbox.answers import error_response
from gateway.sandbox.faults import API, STORAGE
from gateway.sandbox.switches import Switches

REQUEST_ID: Final = "x-request-id"


class RequestGate:
    """ASGI middleware: waits for the latency (ms), then answers 401 for a wrong key and 429 over the rate limit."""

    def __init__(self, app: ASGIApp, api_key: str, latency_ms: float, switches: Switches) -> None:
        self.app, self.latency, self.switches = app, latency_ms / 1000, switches
        self._authorization = f"Bearer {api_key}".encode()
        self._rate = 0 if switches.rate_limit == "none" else int(switches.rate_limit)
        self._window, self._in_window, self._count = 0, 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith((API, STORAGE)):
            await self.app(scope, receive, send)
            return
        self._count += 1
        number = self._count
        if self.latency:
            await clock.sleep(self.latency)

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = f"req_{number:08d}"
            await send(message)

        answer = self._refused(scope) if path.startswith(API) else None
        await (answer or self.app)(scope, receive, numbered)

    def _refused(self, scope: Scope) -> Response | None:
        given = Headers(scope=scope).get("authorization", "").encode()
        if not secrets.compare_digest(given, self._authorization):
            return error_response(401, "no key, or not the right one", self.switches)
        if self._rate and self._is_over():
            answer = error_response(429, "too many requests", self.switches)
            answer.headers["retry-after"] = "1"
            return answer
        return None

    def _is_over(self) -> bool:
        window = int(clock.monotonic())
        if window != self._window:
            self._window, self._in_window = window, 0
        self._in_window += 1
        return self._in_window > self._rate
