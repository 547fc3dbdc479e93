"""Return the current version of a resource; if it is missing or too old for the client, have it ingested first.

https://hl7.org/fhir/R4/http.html#read, decisions D25 and D26. Asking AutoScribe ingests the study ("read through").
Proved by tests/gateway/fhir_api/test_read.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from gateway.auth.visibility import Clauses
from gateway.fhir_api.as_seen import as_seen
from gateway.fhir_api.audit.shown import show
from gateway.fhir_api.facade import Facade, facade
from gateway.fhir_api.freshness import wants_newer
from gateway.fhir_api.http.permission import ANY_VERSION, sight_of, visible
from gateway.fhir_api.served import BY_TYPE
from gateway.runtime.errors import UpstreamNotFound
from gateway.runtime.request_errors import ResourceNotFound
from gateway.store.studies.search import Version, version_of
from gateway.store.studies.write_versions import CURRENT
from mappings.patient.identifiers import upstream_id

_OWNER: Final = re.compile(r"(?:rep|stu|usr)-[0-9a-f]{32}")
_MOST_FAULTS: Final = 5


@dataclass(frozen=True, slots=True)
class Current:
    """Current version; `fetched` is when AutoScribe gave its source (microseconds; None if several studies make it).

    `faults` lists why the version is suppressed (JSON); None if it is served.
    """

    version: Version
    fetched: int | None
    faults: str | None = None


async def current(request: Request, resource_type: str, resource_id: str) -> Current:
    """Return the current version, as fresh as the client asks; a resource that AutoScribe dropped stays as last seen.

    Raises:
        ResourceNotFound: there is no such resource, or it is suppressed.
        UpstreamError: the resource is not stored or too old, and AutoScribe cannot be reached.
    """
    sight = await sight_of(request)
    stored = await newest(request, resource_type, resource_id, sight.limits(resource_type, "r"))
    if stored is None:
        raise ResourceNotFound(f"there is no such {resource_type}, or the gateway has not seen it yet")
    if stored.faults is not None:
        raise ResourceNotFound(_suppression_text(stored.faults))
    if sight.is_unversioned(resource_type):
        seen = await as_seen(facade(request).engine, sight, [stored.version])
        if not seen:
            raise ResourceNotFound(_suppression_text("[]"))
        stored = Current(seen[0], stored.fetched)
    show(request.scope, (stored.version,))
    return stored


async def show_stored(request: Request, address: str) -> None:
    """Record for the audit that the answer is about a stored resource and its patient."""
    stored = await _stored(facade(request), address)
    if stored is not None:
        show(request.scope, (stored.version,))


async def newest(
    request: Request, resource_type: str, resource_id: str, limits: Clauses, *, keeps_dropped: bool = True
) -> Current | None:
    """Return the current version that the client may see, even a suppressed one, as fresh as the client asks.

    For a client with limits, what it does not see goes the way of what is not stored: AutoScribe is asked, and the
    answer is the same whatever AutoScribe says. Unless `keeps_dropped`, what AutoScribe drops is not found.

    Raises:
        ResourceNotFound: for a client without limits: neither the store nor AutoScribe has the resource.
        UpstreamError: the resource is not stored or too old, and AutoScribe cannot be reached.
    """
    serving, address = facade(request), f"{resource_type}/{resource_id}"
    stored = await _seen(request, address, limits)
    if stored is None or wants_newer(request, stored.fetched):
        try:
            await _read_through(serving, resource_type, resource_id, is_known=stored is not None, limits=limits)
        except UpstreamNotFound:
            if (stored is None and not limits) or (stored is not None and not keeps_dropped):
                raise
        except ResourceNotFound:
            if stored is not None or not limits:
                raise
        stored = await _seen(request, address, limits)
    return stored


async def _seen(request: Request, address: str, limits: Clauses) -> Current | None:
    """Return the stored current version, if the client may see it; else None."""
    stored = await _stored(facade(request), address)
    if stored is None:
        return None
    version = await visible(request, address, limits)
    return stored if version in {ANY_VERSION, stored.version.version} else None


async def _stored(serving: Facade, address: str) -> Current | None:
    """Return the current version in the store, None if there is none."""
    rows = await serving.engine.fetch(CURRENT, address=address)
    if not rows:
        return None
    version, updated, is_suppressed, faults, body, fetched = rows[0]
    return Current(version_of(address, version, updated, body), fetched, faults if is_suppressed else None)


async def _read_through(
    serving: Facade, resource_type: str, resource_id: str, *, is_known: bool, limits: Clauses
) -> None:
    """Read the report, study or user named by the resource's id from AutoScribe, and ingest it.

    Raises:
        ResourceNotFound: the id contains none, and the resource is not stored.
    """
    match = None if BY_TYPE[resource_type].is_of_several else _OWNER.match(resource_id)
    owner = upstream_id(match[0]) if match else None
    if owner is None:
        if is_known:
            return
        ids = BY_TYPE[resource_type].ids
        raise ResourceNotFound(f"there is no such {resource_type} in the index; its ids are {ids}")
    if owner.startswith("usr_"):
        await serving.reads.user(owner, as_unknown=bool(limits))
    elif owner.startswith("rep_"):
        await serving.reads.report(owner, fresh=True, as_unknown=bool(limits) and not is_known)
    else:
        await serving.reads.study(owner, fresh=True)


def _suppression_text(faults: str) -> str:
    """Describe why a resource is suppressed: fault codes and pointers, never values."""
    every = json.loads(faults)
    shown = "; ".join(f"{one['pointer'] or '/'}: {one['code']}" for one in every[:_MOST_FAULTS])
    return f"suppressed, since it does not pass the check that all resources go through ({len(every)}): {shown}"
