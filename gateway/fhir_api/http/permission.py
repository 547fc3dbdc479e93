"""Refuse what the scopes of the client do not allow: an interaction with a resource type, or an operation.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources: `r` is
read, vread and history of an instance, `s` is search; decision D41. Without authentication nobody has an access, and
all is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

from gateway.auth.access import access_of
from gateway.runtime.request_errors import Forbidden

Need = tuple[str, str]  # a resource type, and a letter of `cruds` or an operation


def is_allowed(scope: Scope, resource_type: str, permission: str = "r") -> bool:
    """True if the client of a request may do this with resources of a type."""
    access = access_of(scope)
    return access is None or access.allows(resource_type, permission)


def require(scope: Scope, needs: Iterable[Need]) -> None:
    """Check that the client may do all of this.

    Raises:
        Forbidden: a scope is missing.
    """
    for resource_type, permission in needs:
        if not is_allowed(scope, resource_type, permission):
            raise Forbidden(f"the scope system/{resource_type}.{permission} is needed")
