"""Name the client of a request: the authenticated client, else the network address that it came from.

https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope (`client`).
Proved by tests/gateway/fhir_api/http/test_budget.py.
"""

from __future__ import annotations

from starlette.types import Scope

from gateway.auth.access import access_of


def authenticated(scope: Scope) -> str | None:
    """Return the id of the authenticated client; None if nobody was authenticated."""
    access = access_of(scope)
    return None if access is None else access.client_id


def client_key(scope: Scope) -> tuple[str, str]:
    """Return what sets this client apart from others. An id and an address that read the same are two clients."""
    client_id = authenticated(scope)
    if client_id is not None:
        return "id", client_id
    host, _ = scope.get("client") or ("", 0)
    return "address", host
