"""Identify the client of a request: the authenticated client, else its network address.

https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope (`client`).
Proved by tests/gateway/fhir_api/http/test_budget.py.
"""

from __future__ import annotations

import json
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from gateway.auth.access import access_of


def authenticated(scope: Scope) -> str | None:
    """Return the authenticated client, with its user if it has one; None without authentication.

    Two users of one application are two: neither gets an answer that was kept for the other.
    """
    access = access_of(scope)
    if access is None or access.user is None:
        return None if access is None else access.client_id
    return json.dumps([access.client_id, access.user])


def client_key(scope: Scope) -> tuple[str, str]:
    """Return a key that is unique to the client: its id, or its address. The two kinds never mix.

    A site hands out IPv6 addresses by networks of 64 bits: all addresses of one such network are one client.
    """
    access = access_of(scope)
    if access is not None:
        return "id", access.client_id
    host, _ = scope.get("client") or ("", 0)
    return "address", _place(host)


def _place(host: str) -> str:
    """Return the network of an IPv6 address, or the IPv4 address inside it; anything else unchanged."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or IPv6Network((int(address), 64), strict=False))
