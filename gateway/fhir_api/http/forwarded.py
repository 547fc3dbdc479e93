"""Take client address and scheme from `Forwarded` and `X-Forwarded-*` headers, but only if a trusted proxy sent them.

RFC 7239 §4 (Forwarded), §5.2 (for), §5.4 (proto), §8.1 (anybody can write it); X-Forwarded-For and X-Forwarded-Proto
came before it. Each machine adds the address that it was called from at the right. So the client is the right-most
address that is not a trusted proxy: what stands left of it, the client may have written itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_NODE: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)")
_PAIR: Final = re.compile(r'[ \t]*([A-Za-z0-9_-]+)=("[^"\\]*"|[^\s",;]+)[ \t]*([;,]|$)')
_SCHEMES: Final = frozenset({"http", "https"})


class TrustedProxies:
    """ASGI middleware: sets `client` and `scheme` of the scope from the headers of proxies in `networks`.

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
        """Return the changed parts of the scope."""
        nodes, scheme = _said(headers)
        client = peer
        while nodes and self._trusts(client) and (before := _address(nodes.pop())) is not None:
            client = before
        told: dict[str, Any] = {} if client == peer else {"client": (str(client), 0)}
        return told | ({"scheme": scheme} if scheme in _SCHEMES else {})


def _said(headers: Headers) -> tuple[list[str], str]:
    """Return the addresses in the headers, and the scheme of the request to the nearest proxy."""
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
    """Return the address of a node, without port; None for `unknown`, a name, or anything else."""
    match = _NODE.fullmatch(node.strip())
    try:
        address = ip_address((match and (match[1] or match[2] or match[3])) or "")
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
