"""`DocumentReference/$docref`: find the documents of a patient.

http://hl7.org/fhir/us/core/OperationDefinition/docref: `start` and `end` bound the time of care, here the time of the
study. Without both, only the most recent document is returned. No documents are made on demand, and there is no C-CDA.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.audit.shown import show
from gateway.fhir_api.facade import base, circumstances, facade, seal, unseal
from gateway.fhir_api.freshness import index_age
from gateway.fhir_api.history import interval
from gateway.fhir_api.http.bundle import searchset
from gateway.fhir_api.http.headers import fhir_answer, negotiated
from gateway.fhir_api.http.permission import sight_of
from gateway.fhir_api.http.query import PAGE, Parameters, value_of
from gateway.fhir_api.operations.operation_input import formats, inputs
from gateway.fhir_api.search import warnings
from gateway.fhir_api.search.paging import BEGINNING, Page, PagePosition, page
from gateway.fhir_api.search.search_query import Query, understand
from gateway.fhir_api.served import Operation
from gateway.runtime.request_errors import BadRequest

_MOST_RECENT: Final = (("_sort", "-period"), ("_count", "1"))
_ID: Final = re.compile(r"(?:Patient/)?[A-Za-z0-9.-]{1,64}")


def docref(row: Operation, resource_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of GET and POST [base]/DocumentReference/$docref: a searchset Bundle."""
    here = f"{resource_type}/${row.name}"

    async def handle(request: Request) -> Response:
        given, serving = await inputs(request, row), facade(request)
        negotiated(request, given)
        token = value_of(given, PAGE)
        sight = await sight_of(request)
        used, place = (
            (tuple(_search(request, given)), BEGINNING)
            if token is None
            else _read_token(request, token, here, sight.key)
        )
        query = understand(resource_type, used, circumstances(request), strict=True, sight=sight)
        is_none = value_of(given, "on-demand") == "true"
        matches = Page(()) if is_none else await page(serving.engine, query, place)
        if used[-2:] == _MOST_RECENT:  # only the most recent document: no further pages
            matches = Page(matches.versions)
        issues = [*query.warnings, *await warnings.warnings_of(serving, query, matches.versions)]
        show(request.scope, matches.versions, issues)
        total = len(matches.versions) if place == BEGINNING and matches.next is None else None
        links, canonical = _links(request, here, given, query, matches), serving.site.canonical
        body = searchset(base(request), links, matches.versions, (), issues, total=total, canonical=canonical)
        age = index_age(serving)
        return await fhir_answer(request, formats(given), body, headers={} if age is None else {"Age": str(age)})

    return handle


def _search(request: Request, given: Parameters) -> Iterator[tuple[str, str]]:
    """Translate the inputs into search parameters of DocumentReference."""
    if value_of(given, "on-demand") not in {None, "true", "false"}:
        raise BadRequest("on-demand: expected true or false", expression="http.on-demand")
    patient = value_of(given, "patient") or ""
    if not _ID.fullmatch(patient):
        raise BadRequest("patient: expected the id of a Patient", expression="http.patient")
    yield "patient", patient
    dates = [(prefix, name, value_of(given, name)) for prefix, name in (("ge", "start"), ("le", "end"))]
    for prefix, name, date in dates:
        if date is not None:
            interval(request, name, date)
            yield "period", f"{prefix}{date}"
    for name, of_search in (("type", "type"), ("profile", "_profile")):
        if wanted := [value for key, value in given if key == name]:
            yield of_search, ",".join(wanted)
    if not any(date for _, _, date in dates):
        yield from _MOST_RECENT


def _read_token(request: Request, token: str, here: str, limits: str) -> tuple[Parameters, PagePosition]:
    state = unseal(request, token, here, limits)
    return tuple((name, value) for name, value in state["q"]), PagePosition.of_json(state["p"])


def _links(request: Request, here: str, given: Parameters, query: Query, matches: Page) -> dict[str, str]:
    """Build the links to the pages; after a POST they show no input values."""
    address = f"{base(request)}/{here}"

    def link_to(place: PagePosition) -> str:
        state: dict[str, Any] = {"q": query.used, "p": place.as_json()}
        sealed = seal(request, state, here, query.sight.key)
        return f"{address}?{urlencode([*formats(given), (PAGE, sealed)])}"

    links = {"self": address if request.method == "POST" else f"{address}?{urlencode(given, safe=':|,')}"}
    for relation, place in (("previous", matches.previous), ("next", matches.next)):
        if place is not None:
            links[relation] = link_to(place)
    return links
