"""Access of one request: the client, its scopes, its facilities, and when the access ends.

RFC 6750 §1.2 (a bearer token stands for access); decision D10. The gate puts it into the ASGI scope under one key.
Proved by tests/gateway/auth/test_bearer.py.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.auth.refinements import is_applied
from gateway.auth.scopes import BY_NAME_ALONE, EVERY_TYPE, SmartScope
from mappings.fhir.resource_types import types_at

ACCESS: Final = "gateway.access"
# Types that several studies describe, so that no study owns them
SHARED: Final = frozenset(types_at("patient", "referred", "apart"))


@dataclass(frozen=True, slots=True)
class Access:
    """Access that a valid token gives. `facilities` None means all; `expires` is in microseconds since 1970.

    Only an external issuer names a `user` (its `sub`), and a `patient` (a Patient id) for scopes of one patient.
    `fault` says why there is no patient, though the token names one.
    `memory` is for what is computed from an access once, as long as its token is remembered.
    """

    client_id: str
    scopes: tuple[SmartScope, ...]
    facilities: frozenset[str] | None
    expires: int
    user: str | None = None
    patient: str | None = None
    fault: str = ""
    memory: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _granting: dict[tuple[str, str], tuple[SmartScope, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def has_limited_scopes(self) -> bool:
        """True if a scope is narrowed to some resources of its type."""
        return any(one.refinements or one.context == "patient" for one in self.scopes)

    def granting(self, resource_type: str, permission: str) -> tuple[SmartScope, ...]:
        """Return the scopes that grant a permission (a letter of `cruds`, or an operation) on resources of a type.

        A scope with refinements that cannot be applied grants nothing. `patient/` needs the patient, `user/` the user.
        """
        found = self._granting.get((resource_type, permission))
        if found is None:
            found = self._granting[resource_type, permission] = tuple(
                scope
                for scope in self.scopes
                if scope.is_of(resource_type)
                and (scope.access == permission if permission.startswith("$") else permission in scope.letters)
                and self._stands(scope, resource_type)
            )
        return found

    def allows(self, resource_type: str, permission: str) -> bool:
        """True if a scope grants the permission on resources of a type, or at least on some of them."""
        return bool(self.granting(resource_type, permission))

    def refusal(self, resource_type: str, permission: str) -> str:
        """Say why nothing grants a permission on resources of a type."""
        is_of_patient = any(one.context == "patient" and one.is_of(resource_type) for one in self.scopes)
        needed = f"the scope system/{resource_type}.{permission} is needed"
        return self.fault if self.fault and is_of_patient else needed

    def _stands(self, scope: SmartScope, resource_type: str) -> bool:
        if scope.refinements and not (is_applied(scope) and self._tells_nothing(scope)):
            return False
        if resource_type in BY_NAME_ALONE and (self.facilities is not None or self.has_limited_scopes):
            return False  # its entries tell of all that anybody saw
        if scope.context == "patient":
            # What needs every type, or writes, is more than one compartment
            return self.patient is not None and resource_type != EVERY_TYPE and not scope.access.startswith("$")
        return scope.context == "system" or self.user is not None

    def _tells_nothing(self, scope: SmartScope) -> bool:
        """False for a scope whose refinements would be tested against data of hidden studies."""
        if self.facilities is not None and scope.resource_type == "Patient":
            return False
        is_limited = self.facilities is not None or scope.context == "patient"
        is_timed = any(name == "_lastUpdated" for name, _ in scope.refinements)
        return not (is_limited and is_timed and scope.resource_type in SHARED)


def give_access(scope: MutableMapping[str, Any], access: Access) -> None:
    """Put the access of a request into its ASGI scope."""
    scope[ACCESS] = access


def access_of(scope: MutableMapping[str, Any]) -> Access | None:
    """Return the access of a request, None if the bearer gate gave none."""
    access: Access | None = scope.get(ACCESS)
    return access
