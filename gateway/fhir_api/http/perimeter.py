"""Layers around all routes: believe trusted proxies, refuse unknown hosts, admit listed origins, guard each answer.

`TrustedProxies`: RFC 7239 §4 (Forwarded), §5.2 (for), §5.4 (proto), §8.1 (anybody can write it); X-Forwarded-For and
X-Forwarded-Proto came before it. Only proxies that the settings name are believed. Each machine adds the address that
it was called from at the right. So the client is the right-most address that is not a trusted proxy: what stands left
of it, the client may have written itself.
`KnownHosts`: RFC 9110 §7.2 (Host) and §15.5.20 (421), RFC 9112 §3.2 (not exactly one Host: 400). It prevents DNS
rebinding: without authentication, this check alone keeps a web page of another site from reading the gateway. Webhooks
prove themselves by their signature, and probes and metrics hold no patient data. So AutoScribe, a load balancer and
Prometheus may call this machine by any name.
`ListedOrigins`: https://fetch.spec.whatwg.org/#http-cors-protocol. An origin is listed by name: there is no `*`, and no
credentials of the browser (cookies) are ever allowed. SMART App Launch 2.2 asks for CORS where browser apps are served.
`SafeHeaders`: RFC 9111 §5.2.2.5 (no-store), https://fetch.spec.whatwg.org/#x-content-type-options-header and
https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header. This layer is the only place that writes them, so
that no answer lacks them: errors, refusals of other layers, probes and `/docs` included.
Starlette's and uvicorn's layers answer otherwise: no 421, no RFC 7239, no preflight that falls through.
Proved by tests/gateway/fhir_api/http/test_hosts.py and tests/gateway/fhir_api/http/test_forwarded.py.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.fhir_api.facade import is_fhir
from gateway.fhir_api.http.outcome import error_response
from gateway.runtime.log import get_logger
from gateway.runtime.request_errors import BadRequest, RequestError, WrongHost
from gateway.settings import is_loopback

_NODE: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)")
_PAIR: Final = re.compile(r'[ \t]*([A-Za-z0-9_-]+)=("[^"\\]*"|[^\s",;]+)[ \t]*([;,]|$)')
_SCHEMES: Final = frozenset({"http", "https"})
UNNAMED: Final = frozenset({"/webhooks/autoscribe", "/livez", "/readyz", "/metrics"})
_MOST_REMEMBERED: Final = 256
EXPOSED: Final = "ETag, Last-Modified, Location, Retry-After, X-Request-Id"
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": (
        "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, "
        "If-None-Match, Prefer, Range"
    ),
    "Access-Control-Max-Age": "600",  # seconds: a changed list of origins acts within ten minutes
}
_GUARDS: Final = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))
_NOT_STORED: Final = (*_GUARDS, (b"cache-control", b"no-store"))
_REVALIDATED: Final = (*_GUARDS, (b"cache-control", b"private, no-cache"))


class TrustedProxies:
    """ASGI middleware: sets `client` and `scheme` of the scope to what the proxies in `networks` say.

    If a request has both the old headers and `Forwarded`, neither is believed: a proxy that writes the one may pass on
    the other as the client wrote it.
    """

    def __init__(self, app: ASGIApp, networks: Iterable[str]) -> None:
        self.app = app
        self._networks = tuple(map(ip_network, networks))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        peer = _address(scope["client"][0]) if scope["type"] == "http" and scope.get("client") else None
        if peer is not None and self._trusts(peer):
            scope = {**scope, **self._told(peer, Headers(scope=scope))}
        await self.app(scope, receive, send)

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)

    def _told(self, peer: IPv4Address | IPv6Address, headers: Headers) -> dict[str, Any]:
        """Return the parts of the scope that the headers change."""
        nodes, scheme = _said(headers)
        client = peer
        while nodes and self._trusts(client) and (before := _address(nodes.pop())) is not None:
            client = before
        told: dict[str, Any] = {} if client == peer else {"client": (str(client), 0)}
        return told | ({"scheme": scheme} if scheme in _SCHEMES else {})


def _said(headers: Headers) -> tuple[list[str], str]:
    """Return the addresses in the headers, and the scheme by which the nearest proxy was called."""
    nodes, schemes, forwarded = (
        ",".join(headers.getlist(name)) for name in ("x-forwarded-for", "x-forwarded-proto", "forwarded")
    )
    if forwarded and (nodes or schemes):
        return [], ""
    if forwarded:
        elements = _elements(forwarded)
        return [one.get("for", "") for one in elements], elements[-1].get("proto", "").lower() if elements else ""
    return nodes.split(",") if nodes else [], schemes.rpartition(",")[2].strip().lower()


def _elements(forwarded: str) -> list[dict[str, str]]:
    """Return the elements of a `Forwarded` header; none if any part of it is malformed."""
    elements: list[dict[str, str]] = [{}]
    position, end = 0, ";"
    while end:
        pair = _PAIR.match(forwarded, position)
        if pair is None or pair[1].lower() in elements[-1]:
            return []
        elements[-1][pair[1].lower()] = pair[2].strip('"')
        position, end = pair.end(), pair[3]
        if end == ",":
            elements.append({})
    return elements


def _address(node: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a node, without its port; None for `unknown`, a name, and anything else."""
    match = _NODE.fullmatch(node.strip())
    try:
        address = ip_address((match and (match[1] or match[2] or match[3])) or "")
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


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


class SafeHeaders:
    """ASGI middleware: adds the headers to every answer.

    With `revalidates`, a client may keep the answer to a FHIR GET, if it asks each time whether that is still current.
    """

    def __init__(self, app: ASGIApp, *, revalidates: bool = False) -> None:
        self._app, self._revalidates = app, revalidates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to its answer."""
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
