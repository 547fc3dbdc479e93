"""Answer a FHIR search: look up missing studies first (lookups.py), read a page of matches, and build the Bundle.

https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/search.html, decisions D26 and D30.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote_plus

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.visibility import Visibility
from gateway.fhir_api.as_seen import as_seen
from gateway.fhir_api.audit.shown import give, show
from gateway.fhir_api.facade import Facade, base, circumstances, facade, seal, unseal
from gateway.fhir_api.freshness import index_age
from gateway.fhir_api.http.bundle import searchset
from gateway.fhir_api.http.headers import fhir_answer, is_strict, negotiated
from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.http.permission import require, sight_of
from gateway.fhir_api.http.query import COUNT, FORMATS, PAGE, Parameters, form_parameters, parameters, value_of
from gateway.fhir_api.http.summary import shaped_bodies
from gateway.fhir_api.search import warnings
from gateway.fhir_api.search.including import page_with_included
from gateway.fhir_api.search.lookups import Looked, look_up
from gateway.fhir_api.search.paging import BEGINNING, Page, PagePosition
from gateway.fhir_api.search.search_query import Query, ignore, insist, understand
from gateway.fhir_api.search.unindexed import unindexed
from gateway.index.route import find
from gateway.runtime.computing import computed
from gateway.runtime.errors import StoreTooSlow
from gateway.runtime.request_errors import BadRequest, NotSupported, WordsIncomplete
from gateway.store.studies import search as store
from gateway.store.studies.search import Version
from gateway.store.studies.search_sql import UPDATED
from gateway.store.studies.write_versions import are_complete

_LARGE: Final = 256 * 1024  # bytes of resources: to shape them takes up to 10 ms
_SAFE: Final = ":|,/"
_BESIDE_A_PAGE: Final = frozenset({PAGE, COUNT, *FORMATS})
_EMPTIED: Final = Issue(
    "information", "informational", "what was to come has changed meanwhile: it does not match any more", "page-emptied"
)
_OF_ITS_SEARCH: Final = "a page is one of the search that it was given out for: nothing else can be asked of it"
_UNCOUNTED: Final = Issue("warning", "too-costly", "the matches could not be counted in time", "total-unknown")


class _Asked(NamedTuple):
    """A search request: query, page position, total if known, and whether links may show parameter values."""

    query: Query
    place: PagePosition
    total: int | None
    is_shown: bool

    @property
    def is_first(self) -> bool:
        """True if the request is for the first page."""
        return self.place == BEGINNING


def search(resource_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of GET [base]/[type]?… and POST [base]/[type]/_search: a searchset Bundle."""

    async def handle(request: Request) -> Response:
        given = parameters(request)
        if request.method == "POST":
            posted = await form_parameters(request)
            give(request.scope, posted)
            given = (*given, *posted)
        return await _search(request, resource_type, given)

    return handle


def search_of_patient(resource_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of GET [base]/Patient/[id]/[type]?…: a search within the compartment of the patient.

    https://hl7.org/fhir/R4/http.html#vsearch. Its links lead to the search of the type that names the patient.
    """

    async def handle(request: Request) -> Response:
        given = parameters(request)
        if value_of(given, PAGE) is not None:
            raise BadRequest("a page is asked for as the links of its search say", expression=f"http.{PAGE}")
        of_patient = ("patient", f"Patient/{request.path_params['id']}")
        return await _search(request, resource_type, (of_patient, *given))

    return handle


async def _search(request: Request, resource_type: str, given: Parameters) -> Response:
    sight = await sight_of(request)
    asked = _read_request(request, resource_type, given, sight, is_posted=request.method == "POST")
    require(request.scope, [(one, "s") for one in asked.query.chained_types])
    formats = (*asked.query.used, *given)  # a page keeps the format of its search, unless the request names another
    negotiated(request, formats)
    body = await _answer(request, asked)
    age = index_age(facade(request))
    headers = {} if age is None else {"Age": str(age)}
    return await fhir_answer(request, formats, body, headers=headers)


def _read_request(
    request: Request, resource_type: str, given: Parameters, sight: Visibility, *, is_posted: bool
) -> _Asked:
    token = value_of(given, PAGE)
    if token is None:
        query = understand(resource_type, given, circumstances(request), strict=is_strict(request), sight=sight)
        return _Asked(query, BEGINNING, None, not (is_posted or query.asks_for_words))
    state = unseal(request, token, resource_type, sight.key)
    used = _resized(tuple((name, value) for name, value in state["q"]), value_of(given, COUNT))
    query = understand(resource_type, used, circumstances(request), strict=False, sight=sight)
    for name in dict.fromkeys(pair[0] for pair in given if pair[0] not in _BESIDE_A_PAGE and pair not in used):
        if find(resource_type, name):
            raise NotSupported(f"{name}: {_OF_ITS_SEARCH}", expression=f"http.{name.partition(':')[0]}")
        ignore(query, name, _OF_ITS_SEARCH)
    if is_strict(request):
        insist(query)
    place = PagePosition.of_json(state["p"])
    if place.part == "whole" and place != BEGINNING and not query.is_unversioned:
        query.sort = (UPDATED,)  # a walk in one part goes by last update, in every release
    return _Asked(query, place, state["t"], state["s"])


def _resized(used: Parameters, count: str | None) -> Parameters:
    """Change the page size of a paged search, if the request gives `_count` beside a page token.

    Some clients add `_count` to every request, also beside a page token.
    """
    if count is None or count == "0":
        return used
    return (*(one for one in used if one[0] != COUNT), (COUNT, count))


async def _answer(request: Request, asked: _Asked) -> bytes:
    serving, query, is_first = facade(request), asked.query, asked.is_first
    if query.asks_for_words and not await are_complete(serving.engine):
        raise WordsIncomplete("the words of earlier reports are still being read: a report could be missing")
    looked = await look_up(request, query) if is_first else Looked()
    results, beside, include_issues = Page(()), list[Version](), list[Issue]()
    if not query.is_count:
        results, beside, include_issues = await page_with_included(serving.engine, query, asked.place)
    total = await _total(serving, query, results) if is_first else asked.total
    if looked.failures and not results.versions and not total:
        raise looked.failures[0]  # an empty result would be wrong: AutoScribe may know of a match
    issues = [*query.ignored, *query.warnings, *looked.issues, *include_issues]
    issues += await unindexed(serving.engine, query)
    issues += await warnings.warnings_of(serving, query, results.versions)
    if query.explain:
        issues += [*query.remarks, *looked.remarks, *await warnings.mapping_warnings(serving, query, results.versions)]
        issues += [] if results.versions or is_first else [_EMPTIED]
        issues.append(warnings.explanation(serving, query, asked.place, results.way, looked.asked))
    links = _links(request, asked, results, total)
    matches, beside = [await as_seen(serving.engine, query.sight, one) for one in (results.versions, beside)]
    show(request.scope, (*matches, *beside), issues)
    shaped, shaped_beside = await _shaped(query, matches), await _shaped(query, beside)
    canonical = serving.site.canonical
    return searchset(base(request), links, shaped, shaped_beside, issues, total=total, canonical=canonical)


async def _total(serving: Facade, query: Query, results: Page) -> int | None:
    """Return the number of matches if it was asked for, or if one page has all; else None.

    To count takes longer than to answer: each match is looked at.
    """
    if not query.is_count:
        if results.next is None:
            return None if query.total == "none" else len(results.versions)
        if query.total not in {"accurate", "estimate"}:
            return None
    try:
        return await store.count(serving.engine, query.search(0))
    except StoreTooSlow:
        if query.is_count:
            raise
        query.warnings.append(_UNCOUNTED)
        return None


async def _shaped(query: Query, versions: Sequence[Version]) -> Sequence[Version]:
    if query.shape.is_whole:
        return versions
    bodies = [one.body for one in versions]
    if sum(map(len, bodies)) > _LARGE:
        bodies = await computed(shaped_bodies, bodies, query.shape)
    else:
        bodies = shaped_bodies(bodies, query.shape)
    return [one._replace(body=body) for one, body in zip(versions, bodies, strict=True)]


def _quoted(value: str) -> str:
    return value if value.isalnum() and value.isascii() else quote_plus(value, safe=_SAFE)


def _links(request: Request, asked: _Asked, results: Page, total: int | None) -> dict[str, str]:
    """Build the links to the pages; after a POST they show no parameter values."""
    here = f"{base(request)}/{asked.query.resource_type}"
    shown = f"{here}?{'&'.join([f'{name}={_quoted(value)}' for name, value in asked.query.used])}"

    def link_to(place: PagePosition) -> str:
        state = {"q": asked.query.used, "p": place.as_json(), "t": total, "s": asked.is_shown}
        return f"{here}?{PAGE}={seal(request, state, asked.query.resource_type, asked.query.sight.key)}"

    is_plain = asked.is_shown and asked.is_first
    links = {"self": shown if is_plain else link_to(asked.place)}
    if results.last is not None:
        links["first"] = shown if asked.is_shown else link_to(BEGINNING)
    for relation, place in (("previous", results.previous), ("next", results.next), ("last", results.last)):
        if place is not None:
            links[relation] = link_to(place)
    return links
