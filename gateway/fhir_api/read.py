"""Read of one resource by its id: asked of AutoScribe where the id says of what, else as last seen.

https://hl7.org/fhir/R4/http.html#read, https://hl7.org/fhir/R4/http.html#cread.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import ResourceNotFound
from gateway.fhir_api.facade import Facade, facade
from gateway.fhir_api.headers import require_json, resource_answer
from gateway.fhir_api.query import parameters
from gateway.fhir_api.served import BY_TYPE, NOTHING_STORED, Served
from gateway.store.seen import Version
from mappings.identifiers import upstream_id
from mappings.issues import MappingIssue

_OWNER: Final = re.compile(r"(?:rep|stu)-[0-9a-f]{32}")
_MOST_FAULTS: Final = 5
_HOW_TO_SEE: Final = (
    "Read a report about it first: GET DiagnosticReport/rep-…, or search DiagnosticReport?study=stu-… with _include."
)


def read(row: Served) -> Callable[[Request], Awaitable[Response]]:
    """The handler of GET [base]/[type]/[id] for a row of the table of resource types."""
    get = _SOURCES[row.source]

    async def handle(request: Request) -> Response:
        given = parameters(request)
        require_json(request, given)
        version = await get(facade(request), row.resource_type, request.path_params["id"])
        return resource_answer(request, version, given)

    return handle


async def _through(serving: Facade, resource_type: str, resource_id: str) -> Version:
    """A resource of a study: its id begins with the id of its report or study."""
    found = _OWNER.match(resource_id)
    owner = upstream_id(found[0]) if found else None
    if owner is None:
        raise ResourceNotFound(f"no {resource_type} can have this id: it is {BY_TYPE[resource_type].ids}")
    reading = await (serving.reads.report(owner) if owner.startswith("rep_") else serving.reads.study(owner))
    key = (resource_type, resource_id)
    if key in reading.rendered.suppressed:
        raise ResourceNotFound(_faults(reading.rendered.suppressed[key]))
    if key not in reading.versions:
        raise ResourceNotFound(f"the study has no such {resource_type}")
    return reading.versions[key]


async def _user(serving: Facade, resource_type: str, resource_id: str) -> Version:
    """A Practitioner: the User of AutoScribe, or as last seen if AutoScribe no longer knows it."""
    user_id = upstream_id(resource_id) or ""
    version = await serving.reads.practitioner(user_id) if user_id.startswith("usr_") else None
    if version is None:
        raise ResourceNotFound(f"AutoScribe knows no user that this {resource_type} could be, and none was seen")
    return version


async def _seen(serving: Facade, resource_type: str, resource_id: str) -> Version:
    """A resource that AutoScribe cannot be asked for."""
    version = serving.seen.get(resource_type, resource_id)
    if version is None:
        raise ResourceNotFound(f"this {resource_type} was not seen yet. {NOTHING_STORED} {_HOW_TO_SEE}")
    return version


def _faults(faults: tuple[MappingIssue, ...]) -> str:
    """Why a resource is not served: codes and places, never values."""
    shown = "; ".join(f"{one.pointer or '/'}: {one.code}" for one in faults[:_MOST_FAULTS])
    return f"suppressed, since it does not pass the check that all resources go through ({len(faults)}): {shown}"


_SOURCES: Final = {"upstream": _through, "user": _user, "seen": _seen}
