"""Answer the FHIR interactions read (current version of a resource) and vread (a given version).

https://hl7.org/fhir/R4/http.html#read, https://hl7.org/fhir/R4/http.html#vread,
https://hl7.org/fhir/R4/http.html#cread.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.as_seen import UNVERSIONED, content_tag
from gateway.fhir_api.audit.shown import show
from gateway.fhir_api.facade import facade
from gateway.fhir_api.fetching import current
from gateway.fhir_api.freshness import age
from gateway.fhir_api.http.headers import etag, fhir_conditional
from gateway.fhir_api.http.permission import ANY_VERSION, sight_of, visible
from gateway.fhir_api.http.query import Parameters, parameters
from gateway.fhir_api.http.summary import Shape, shaped, wanted_shape
from gateway.runtime.request_errors import BadRequest, ResourceNotFound
from gateway.store.database.engine import instant
from gateway.store.studies.search import Version, version_of
from gateway.store.studies.write_versions import ONE_VERSION
from mappings.fhir.datatypes import json_bytes

Handler = Callable[[Request], Awaitable[Response]]
_VERSION: Final = re.compile(r"[1-9][0-9]{0,14}")
_WHOLE: Final = Shape()


def read(resource_type: str) -> Handler:
    """Make the handler of GET [base]/[type]/[id]."""

    async def handle(request: Request) -> Response:
        given = parameters(request)
        shape = _shape(given)
        stored = await current(request, resource_type, request.path_params["id"])
        headers = _validators(stored.version)
        if stored.fetched is not None:
            headers["Age"] = str(age(stored.fetched))
        return await fhir_conditional(request, given, _body(stored.version, shape), headers)

    return handle


def vread(resource_type: str) -> Handler:
    """Make the handler of GET [base]/[type]/[id]/_history/[version]."""

    async def handle(request: Request) -> Response:
        given = parameters(request)
        shape = _shape(given)
        address, version = f"{resource_type}/{request.path_params['id']}", request.path_params["version"]
        number = int(version) if _VERSION.fullmatch(version) else 0
        rows = await facade(request).engine.fetch(ONE_VERSION, address=address, version=number)
        if not rows or rows[0][2] is not None or not await _is_visible(request, address, number):
            raise ResourceNotFound("there is no such version of this resource; its _history lists those there are")
        number, updated, _, body = rows[0]
        stored = version_of(address, number, updated, body)
        show(request.scope, (stored,))
        return await fhir_conditional(request, given, _body(stored, shape), _validators(stored))

    return handle


async def _is_visible(request: Request, address: str, version: int) -> bool:
    """True if the client may see this version; a limited client sees only current ones."""
    if (await sight_of(request)).is_unversioned(address.partition("/")[0]):
        return False
    return await visible(request, address) in {ANY_VERSION, version}


def _shape(given: Parameters) -> Shape:
    if not given:
        return _WHOLE
    shape = wanted_shape(given)
    if shape.summary == "count":
        raise BadRequest("_summary=count is for searches", expression="http._summary")
    return shape


def _body(version: Version, shape: Shape) -> bytes:
    return version.body if shape.is_whole else json_bytes(shaped(version.resource, shape))


def _validators(version: Version) -> dict[str, str]:
    if version.version == UNVERSIONED:
        return etag(content_tag(version.body))
    return etag(str(version.version), instant(version.updated))
