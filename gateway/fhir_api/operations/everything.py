"""`Patient/[id]/$everything`: all resources in the index about a patient, page by page.

https://hl7.org/fhir/R4/patient-operation-everything.html: `start` and `end` are dates of care. Here care is a study, or
the visit of an Encounter; what has no such date is never left out, nor is the Patient. Resources come in the order in
which they were first stored. Practitioners and Organizations are `include`, all others `match`. Documents refer to the
Binaries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.visibility import Visibility
from gateway.fhir_api.as_seen import as_seen
from gateway.fhir_api.audit.shown import show
from gateway.fhir_api.facade import Facade, base, circumstances, facade, seal, unseal
from gateway.fhir_api.fetching import current
from gateway.fhir_api.freshness import index_age
from gateway.fhir_api.history import interval
from gateway.fhir_api.http.bundle import searchset
from gateway.fhir_api.http.headers import fhir_answer, negotiated
from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.http.permission import sight_of
from gateway.fhir_api.http.query import PAGE, Parameters, count_of, value_of
from gateway.fhir_api.operations.operation_input import formats, inputs
from gateway.fhir_api.search import warnings
from gateway.fhir_api.search.search_query import understand
from gateway.fhir_api.served import Operation
from gateway.index.escaping import alternatives
from gateway.runtime.request_errors import BadRequest
from gateway.store.studies.search import REFERRED_TO, TYPES, Version, compartment

_MOST_SUPPRESSED: Final = 5
_NO_END: Final = 2**62


@dataclass(frozen=True, slots=True)
class _Walk:
    """Request and position: types, start time (`since`, microseconds), page size, and the last resource sent.

    `behind` is the address of what was sent last: for a client with limits, several resources have the last place.
    `during` has the bounds of the dates of care, in microseconds: a list, as it comes from a token.
    """

    types: tuple[str, ...]
    since: int
    count: int
    after: int = 0
    behind: str = ""
    during: Sequence[int] | None = None


def everything(row: Operation, resource_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of GET and POST [base]/Patient/[id]/$everything: a searchset Bundle."""

    async def handle(request: Request) -> Response:
        given = await inputs(request, row)
        negotiated(request, given)
        serving, patient = facade(request), f"{resource_type}/{request.path_params['id']}"
        await current(request, resource_type, request.path_params["id"])
        here = f"{patient}/${row.name}"
        token = value_of(given, PAGE)
        issues: list[Issue] = []
        sight = await sight_of(request)
        walk = (
            _start_walk(request, given, issues) if token is None else _Walk(**unseal(request, token, here, sight.key))
        )
        if token is None:
            issues += await _suppression_issues(request, patient, walk, sight)
        versions = await _page(serving, patient, walk, sight)
        page = versions[: walk.count]
        asked = (("_id", request.path_params["id"]),)
        query = understand(resource_type, asked, circumstances(request), strict=False, sight=sight)
        issues += await warnings.warnings_of(serving, query, page)
        links = {"self": _link(request, here, given)}
        if len(versions) > walk.count:
            state = asdict(replace(walk, after=page[-1].position[0], behind=page[-1].address))
            sealed = seal(request, state, here, sight.key)
            links["next"] = _link(request, here, (*formats(given), (PAGE, sealed)))
        page = await as_seen(serving.engine, sight, page)
        show(request.scope, page, issues)
        beside = [one for one in page if one.address.partition("/")[0] in REFERRED_TO]
        matches = [one for one in page if one not in beside]
        total = len(matches) if token is None and len(versions) <= walk.count else None
        canonical = serving.site.canonical
        body = searchset(base(request), links, matches, beside, issues, total=total, canonical=canonical)
        age = index_age(serving)
        return await fhir_answer(request, formats(given), body, headers={} if age is None else {"Age": str(age)})

    return handle


def _start_walk(request: Request, given: Parameters, issues: list[Issue]) -> _Walk:
    """Begin at the first page with the inputs; an unknown `_type` is left out and added to `issues`."""
    count, since = count_of(given), value_of(given, "_since")
    if count == 0:
        raise BadRequest("_count: expected 1 or more", expression="http._count")
    wanted = [one.strip() for name, value in given if name == "_type" for one in alternatives(value)]
    if any(one not in TYPES for one in wanted):
        diagnostics = "a type that is not among those about a patient here: it finds nothing"
        issues.append(Issue("warning", "not-supported", diagnostics, "parameter-ignored", expression="http._type"))
    types = tuple(one for one in TYPES if one in wanted or not wanted)
    during = _care_dates(request, value_of(given, "start"), value_of(given, "end"))
    return _Walk(types, interval(request, "_since", since)[0] if since else 0, count, during=during)


def _care_dates(request: Request, start: str | None, end: str | None) -> tuple[int, int] | None:
    """Return the interval from the start of one date to the end of the other; None without both.

    Raises:
        BadRequest: one is no date, or they are in the wrong order.
    """
    if start is None and end is None:
        return None
    low = interval(request, "start", start)[0] if start else -_NO_END
    high = interval(request, "end", end)[1] if end else _NO_END
    if low >= high:
        raise BadRequest("end: it is before start", expression="http.end")
    return low, high


async def _page(
    serving: Facade, patient: str, walk: _Walk, sight: Visibility, *, suppressed: bool = False
) -> list[Version]:
    """Read a page of resources about a patient, and one more to see if another page follows."""
    limits = None
    if not (sight.is_whole and all(sight.allows(one, "r") for one in TYPES)):
        limits = {one: sight.limits(one, "r") for one in TYPES if sight.allows(one, "r")}
    return await compartment(
        serving.engine,
        patient,
        types=walk.types,
        since=walk.since,
        after=walk.after,
        during=(walk.during[0], walk.during[1]) if walk.during else None,
        most=_MOST_SUPPRESSED if suppressed else walk.count + 1,
        suppressed=suppressed,
        behind=walk.behind,
        limits=limits,
        follows_patient=sight.facilities is None,
    )


async def _suppression_issues(request: Request, patient: str, walk: _Walk, sight: Visibility) -> list[Issue]:
    versions = await _page(facade(request), patient, walk, sight, suppressed=True)
    reason = "is not served: it does not pass the check that all resources go through"
    return [
        Issue("warning", "suppressed", f"{one.address} {reason}", "suppressed", about=one.address) for one in versions
    ]


def _link(request: Request, here: str, given: Parameters) -> str:
    return f"{base(request)}/{here}{'?' if given else ''}{urlencode(given, safe=':,')}"
