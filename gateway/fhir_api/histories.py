"""Answer the FHIR history of a type and of the whole system: versions of many resources, newest first.

https://hl7.org/fhir/R4/http.html#history, decisions D29 and D41. The versions are not counted: there may be millions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.visibility import Visibility
from gateway.fhir_api.audit.shown import show
from gateway.fhir_api.facade import base, facade, seal, unseal
from gateway.fhir_api.history import history_links, history_parameters, interval
from gateway.fhir_api.http.bundle import history_bundle
from gateway.fhir_api.http.headers import fhir_answer, negotiated
from gateway.fhir_api.http.permission import is_allowed, require, sight_of
from gateway.fhir_api.http.query import PAGE, count_of, value_of
from gateway.fhir_api.served import OF_REPORTS
from gateway.index.parameters import TYPES
from gateway.runtime.request_errors import BadRequest, NotSupported
from gateway.store.studies.limited import Limits
from gateway.store.studies.search import versions_of

_SEARCH: Final = "s"  # the permission for interactions with a type as a whole
_NO_END: Final = 2**62


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
    """Return what resources of each type must meet; None if it is nothing."""
    return None if sight.is_whole else {one: sight.limits(one, _SEARCH) for one in types}
