"""Name the client of a request: the authenticated client, else the network address that it came from.

https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope (`client`).
Proved by tests/gateway/fhir_api/http/test_budget.py.
"""

from __future__ import annotations

import json

from starlette.types import Scope

from gateway.auth.access import access_of


def authenticated(scope: Scope) -> str | None:
    """Return who was authenticated, the client with its user if it has one; None if nobody was.

    Two users of one application are two: neither gets an answer that was kept for the other.
    """
    access = access_of(scope)
    if access is None or access.user is None:
        return None if access is None else access.client_id
    return json.dumps([access.client_id, access.user])


def client_key(scope: Scope) -> tuple[str, str]:
    """Return what sets this client apart from others. An id and an address that read the same are two clients."""
    access = access_of(scope)
    if access is not None:
        return "id", access.client_id
    host, _ = scope.get("client") or ("", 0)
    return "address", host
