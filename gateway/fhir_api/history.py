"""Answer the FHIR history of a resource, of a type, or of the whole system: versions, newest first.

https://hl7.org/fhir/R4/http.html#history: a withdrawal is a version too, not a delete (CONF-0187 to CONF-0192);
decisions D29 and D41. The versions of a type are not counted: there may be millions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.visibility import Visibility
from gateway.fhir_api.audit.shown import show
from gateway.fhir_api.facade import base, circumstances, facade, seal, unseal
from gateway.fhir_api.http.bundle import history_bundle
from gateway.fhir_api.http.headers import fhir_answer, negotiated
from gateway.fhir_api.http.permission import ANY_VERSION, is_allowed, require, sight_of, visible
from gateway.fhir_api.http.query import COUNT, FORMATS, PAGE, Parameters, count_of, parameters, value_of
from gateway.fhir_api.served import OF_REPORTS
from gateway.index.criteria import Updated
from gateway.index.parameter_lookup import TYPES
from gateway.index.reading import asked
from gateway.runtime.request_errors import BadRequest, NotSupported, ResourceNotFound
from gateway.store.database.engine import Engine, Row
from gateway.store.studies.limited import Limits
from gateway.store.studies.search import in_turns, version_of, versions_of
from gateway.store.studies.write_versions import COUNT_VERSIONS, HAS_RESOURCE, HISTORY, ONE_VERSION

_NO_END: Final = 2**62
_INSTANTS: Final = ("_since", "_at")


def history(resource_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of GET [base]/[type]/[id]/_history."""

    async def handle(request: Request) -> Response:
        given, serving = history_parameters(request, *_INSTANTS), facade(request)
        address = f"{resource_type}/{request.path_params['id']}"
        token, most = value_of(given, PAGE), count_of(given)
        before = unseal(request, token, address) if token else _NO_END
        window = _window(request, given)
        seen = await visible(request, address)
        if seen is None or (await sight_of(request)).is_unversioned(resource_type):
            raise ResourceNotFound(f"there is no such {resource_type} in the index")
        if seen == ANY_VERSION:
            rows, total = await _all(serving.engine, address, window, before, most + 1)
        else:
            rows = [row for row in await _one(serving.engine, address, seen, window) if row[0] < before]
            total = len(rows)
        if not rows and not await serving.engine.fetch(HAS_RESOURCE, address=address):
            raise ResourceNotFound(f"there is no such {resource_type} in the index")
        versions = await in_turns(lambda row: version_of(address, *row), rows[:most])
        show(request.scope, versions)
        more = versions and len(rows) > most
        page = seal(request, versions[-1].version, address) if more else None
        links = history_links(f"{base(request)}/{address}/_history", given, page)
        return await fhir_answer(request, given, history_bundle(base(request), links, versions, total))

    return handle


def history_parameters(request: Request, *instants: str) -> Parameters:
    """Return the parameters of a history in order; `instants` names those that narrow it in time.

    A history has no place for a warning (every entry is a version, bdl-3), so nothing is ignored.

    Raises:
        NotSupported: any other parameter: to ignore it could widen the answer.
        BadRequest: an instant is given more than once.
    """
    given = parameters(request)
    names = [name for name, _ in given]
    offered = (*instants, COUNT, *FORMATS)
    for name in names:
        expression = f"http.{name.partition(':')[0]}"
        if name not in {*offered, PAGE}:
            raise NotSupported(
                f"{name}: a history does not take it; offered: {', '.join(offered)}", expression=expression
            )
        if name in instants and names.count(name) > 1:
            raise BadRequest(f"{name}: given more than once", expression=expression)
    return given


def history_links(here: str, given: Parameters, page: str | None) -> dict[str, str]:
    """Build the links of a history page: to itself, and to the next page if there is a token for it."""
    links = {"self": f"{here}?{urlencode(given)}" if given else here}
    if page is not None:
        links["next"] = f"{here}?{urlencode([*(pair for pair in given if pair[0] != PAGE), (PAGE, page)])}"
    return links


async def _all(
    engine: Engine, address: str, window: Mapping[str, int], before: int, most: int
) -> tuple[Sequence[Row], int]:
    """Return up to `most` versions in a time window and older than `before`, newest first; and their whole count."""
    rows = await engine.fetch(HISTORY, address=address, **window, before=before, most=most)
    total = await engine.fetch(COUNT_VERSIONS, address=address, **window)
    return rows, int(total[0][0])


async def _one(engine: Engine, address: str, version: int, window: Mapping[str, int]) -> Sequence[Row]:
    """Return the current version if it lies in the time window; limited clients see no older versions."""
    rows = await engine.fetch(ONE_VERSION, address=address, version=version)
    return [
        (number, updated, body)
        for number, updated, faults, body in rows
        if faults is None and window["since"] <= updated < window["at_high"]
    ]


def _window(request: Request, given: Parameters) -> dict[str, int]:
    """Convert `_since` and `_at` to bounds in microseconds."""
    since, at = value_of(given, "_since"), value_of(given, "_at")
    low, high = interval(request, "_at", at) if at else (-1, _NO_END)
    return {"since": interval(request, "_since", since)[0] if since else 0, "at_low": low, "at_high": high}


def interval(request: Request, name: str, value: str) -> tuple[int, int]:
    """Parse a date or instant into its interval (first and last microsecond).

    Raises:
        BadRequest: the value is not one date or instant.
    """
    try:
        parsed = asked("Patient", "_lastUpdated", f"eq{value}", circumstances(request))
    except BadRequest:
        parsed = None
    match parsed and parsed.clauses:
        case ((Updated(low=low, high=high),),):
            return low, high
    raise BadRequest(f"{name}: expected one date or instant", expression=f"http.{name}")


_SEARCH: Final = "s"  # the permission for interactions with a type as a whole


def history_of_type(resource_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of GET [base]/[type]/_history."""

    async def handle(request: Request) -> Response:
        sight = await sight_of(request)
        if sight.is_unversioned(resource_type):
            raise NotSupported("a client that sees some studies alone cannot ask when this type changed")
        return await _history(request, f"{resource_type}/_history", (resource_type,), sight)

    return handle


async def history_of_system(request: Request) -> Response:
    """Answer GET [base]/_history: of the types that the client may search.

    A client that sees some studies alone gets no versions of what several studies describe.
    """
    allowed = [one for one in TYPES if is_allowed(request.scope, one, _SEARCH)]
    if not allowed:
        require(request.scope, ((OF_REPORTS, _SEARCH),))
    sight = await sight_of(request)
    types = [one for one in allowed if not sight.is_unversioned(one)]
    return await _history(request, "_history", types, sight)


async def _history(request: Request, path: str, types: Sequence[str], sight: Visibility) -> Response:
    given = history_parameters(request, "_since")
    negotiated(request, given)
    token, most = value_of(given, PAGE), count_of(given)
    if most == 0:
        raise BadRequest("_count: expected 1 or more", expression="http._count")
    since = value_of(given, "_since")
    state = {"before": _NO_END, "since": 0} if token is None else unseal(request, token, path, sight.key)
    if since is not None:
        state["since"] = max(state["since"], interval(request, "_since", since)[0])
    limits = _limits(types, sight)
    found = await versions_of(facade(request).engine, types, **state, most=most + 1, limits=limits) if types else []
    versions = found[:most]
    show(request.scope, versions)
    more = len(found) > most
    page = seal(request, {**state, "before": versions[-1].updated}, path, sight.key) if more else None
    links = history_links(f"{base(request)}/{path}", given, page)
    return await fhir_answer(request, given, history_bundle(base(request), links, versions, None))


def _limits(types: Sequence[str], sight: Visibility) -> Limits | None:
    """Return the limits of each resource type for this client; None if it sees everything."""
    return None if sight.is_whole else {one: sight.limits(one, _SEARCH) for one in types}
