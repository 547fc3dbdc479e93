"""Decide what the client of a request may do with each resource type, and which resources it may see. The only gate.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources: `r` is
read, vread and history of an instance, `s` is search; decision D41. Without authentication nobody has an access, and
all is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final, cast

from starlette.requests import Request
from starlette.types import Scope

from gateway.auth.access import access_of
from gateway.auth.visibility import EVERYTHING, Clauses, Visibility
from gateway.fhir_api.facade import facade
from gateway.runtime.request_errors import Forbidden
from gateway.store.studies.identities import organizations_named
from gateway.store.studies.limited import limited, met
from gateway.store.studies.search_sql import SECONDS, goes_far
from mappings.patient.identifiers import keyed_patient_id
from mappings.profile import Site

Need = tuple[str, str]  # a resource type, and a letter of `cruds` or an operation
_SIGHT: Final = "gateway.sight"  # key in the scope of a request, or in the memory of an access
_OF_VERSION: Final = "SELECT r.version FROM resource r WHERE r.address = :address{limit}"
ANY_VERSION: Final = 0


def is_allowed(scope: Scope, resource_type: str, permission: str = "r") -> bool:
    """True if the client may use a resource type in this way."""
    access = access_of(scope)
    return access is None or access.allows(resource_type, permission)


def require(scope: Scope, needs: Iterable[Need]) -> None:
    """Refuse the request unless the client has all these permissions.

    Raises:
        Forbidden: a scope is missing.
    """
    access = access_of(scope)
    if access is None:
        return
    for resource_type, permission in needs:
        if not access.granting(resource_type, permission):
            raise Forbidden(access.refusal(resource_type, permission))


async def sight_of(request: Request) -> Visibility:
    """Return what the client of a request may see: its `Visibility`."""
    access = access_of(request.scope)
    if access is None:
        return EVERYTHING
    # The facilities of the stored reports are looked up for each request: a new one may have come
    memory = access.memory if access.facilities is None else request.scope
    sight = memory.get(_SIGHT)
    if sight is None:
        serving, organizations = facade(request), None
        if access.facilities is not None:
            organizations = tuple(sorted(await organizations_named(serving.engine, access.facilities)))
        sight = memory[_SIGHT] = Visibility(
            access, organizations, serving.zone, partial(_keyed_patient_id, serving.site)
        )
    return cast(Visibility, sight)


def _keyed_patient_id(site: Site, system: str, value: str) -> str:
    return keyed_patient_id(system, value, site)


async def visible(request: Request, address: str, limits: Clauses | None = None) -> int | None:
    """Return the version of a resource that the client may see now; None for none, `ANY_VERSION` for no limits.

    This is the gate of every path that names a resource. Who goes on to read must compare the version: a resource that
    changes meanwhile may be hidden. `limits` are those of reading the type, if not given.
    """
    if limits is None:
        limits = (await sight_of(request)).limits(address.partition("/")[0], "r")
    if not limits:
        return ANY_VERSION
    statement, values = limited(_OF_VERSION, met(limits))
    engine = facade(request).engine
    if any(map(goes_far, limits)):
        compiled = statement.compiled(engine.dialect)
        rows = await engine.scan(compiled.sql, compiled.positional({"address": address, **values}), SECONDS)
    else:
        rows = await engine.fetch(statement, address=address, **values)
    return int(rows[0][0]) if rows else None
