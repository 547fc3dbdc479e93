"""Access of one request: the client that asks, its scopes, its facilities, and until when.

RFC 6750 §1.2 (a bearer token stands for access); decision D10. The gate puts it into the ASGI scope under one key.
Proved by tests/gateway/auth/test_bearer.py.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final, cast

from gateway.auth.scopes import SmartScope

ACCESS: Final = "gateway.access"


@dataclass(frozen=True, slots=True)
class Access:
    """Access that a valid token gives. `facilities` None means all; `expires` is in microseconds since 1970.

    Only an external issuer names a `user` (its `sub`), and a `patient` (a Patient id) for scopes of one patient.
    """

    client_id: str
    scopes: tuple[SmartScope, ...]
    facilities: frozenset[str] | None
    expires: int
    user: str | None = None
    patient: str | None = None

    def allows(self, resource_type: str, permission: str) -> bool:
        """True if a scope grants the permission, a letter of `cruds` or an operation, on all resources of a type.

        A scope with refinements and a client with facilities grant nothing: no interaction applies these limits yet.
        """
        return self.facilities is None and any(
            scope.context == "system"
            and not scope.refinements
            and scope.is_of(resource_type)
            and (scope.access == permission if permission.startswith("$") else permission in scope.letters)
            for scope in self.scopes
        )


def give_access(scope: MutableMapping[str, Any], access: Access) -> None:
    """Put the access of a request into its ASGI scope."""
    scope[ACCESS] = access


def access_of(scope: MutableMapping[str, Any]) -> Access | None:
    """Return the access of a request, None if no gate gave any."""
    return cast(Access | None, scope.get(ACCESS))
