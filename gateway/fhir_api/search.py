"""Search of DiagnosticReport: by study or by id, read through; what was left out is always said.

https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/search.html, decision D30. Repeated parameters are
AND, values with commas between are OR.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import BadRequest, NotSupported, ResourceNotFound, SearchTooCostly, UpstreamNotFound
from gateway.fhir_api.bundle import searchset
from gateway.fhir_api.facade import Facade, base, facade
from gateway.fhir_api.headers import answer, is_strict, pretty, require_json
from gateway.fhir_api.outcome import Issue, of_mapping
from gateway.fhir_api.query import Parameters, alternatives, parameters
from gateway.fhir_api.search_params import NOTHING, OF_REPORTS, RESULT_PARAMETERS, Criterion, included_element, parser
from gateway.store.seen import Key, Version
from gateway.sync.read_through import Reading
from mappings.identifiers import fhir_id
from mappings.model import Report, Study

MOST_LOOKUPS: Final = 20
_TOTALS: Final = frozenset({"none", "estimate", "accurate"})
_TRUTHS: Final = frozenset({"true", "false"})


@dataclass(slots=True)
class Query:
    """What is asked for: `clauses` all hold, each by any of its criteria; `used` goes into the self link."""

    clauses: list[tuple[Criterion, ...]] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[Issue] = field(default_factory=list)


async def search(request: Request) -> Response:
    """GET [base]/DiagnosticReport?…: a searchset Bundle."""
    given = parameters(request)
    require_json(request, given)
    query = understand(given, strict=is_strict(request))
    readings = await _read(facade(request), query)
    matches, issues = _matches(query, readings)
    included = list(_included(facade(request), query, matches, readings, issues))
    self_url = f"{base(request)}/{OF_REPORTS}?{urlencode(query.used, safe=':|,/')}"
    body = searchset(base(request), self_url, matches, included, [*query.ignored, *issues])
    return answer(request, pretty(body, given))


def understand(given: Parameters, *, strict: bool) -> Query:
    """The query that the parameters make.

    Raises:
        BadRequest: a malformed value.
        NotSupported: an unsupported modifier; when strict, anything that would be ignored.
        SearchTooCostly: nothing narrows the search, or it asks for too much at once.
    """
    query = Query()
    for name, value in given:
        if name in RESULT_PARAMETERS or name.partition(":")[0] in RESULT_PARAMETERS:
            _shape(query, name, value)
        elif (read := parser(name)) is not None:
            query.clauses.append(tuple(_criterion(read, name, one) for one in alternatives(value)))
            query.used.append((name, value))
        else:
            _ignore(query, name, "this parameter is not known here and is not used")
    if strict and query.ignored:
        raise NotSupported(query.ignored[0].diagnostics, expression=query.ignored[0].expression)
    if not query.clauses:
        raise SearchTooCostly("nothing narrows this search: reports are found by study or by id")
    if len(_start(query)) > MOST_LOOKUPS:
        raise SearchTooCostly(f"more than {MOST_LOOKUPS} values to look up in one search")
    return query


def _criterion(read: Callable[[str], Criterion], name: str, value: str) -> Criterion:
    try:
        return read(value)
    except BadRequest as error:
        raise BadRequest(f"{name}: {error.detail}", expression=f"http.{name}") from None


def _shape(query: Query, name: str, value: str) -> None:
    """A parameter that shapes the answer."""
    plain, colon, _ = name.partition(":")
    if colon:
        raise NotSupported(f"{plain}: this modifier is not offered", expression=f"http.{plain}")
    if (name == "_total" and value not in _TOTALS) or (name == "_pretty" and value not in _TRUTHS):
        raise BadRequest(f"{name}: not a value it can have", expression=f"http.{name}")
    if name == "_include":
        element = included_element(value)
        if element is None:
            _ignore(query, name, "this _include is not offered and is not used")
            return
        query.includes.append(element)
    query.used.append((name, value))


def _ignore(query: Query, name: str, diagnostics: str) -> None:
    query.ignored.append(Issue("warning", "not-supported", diagnostics, "parameter-ignored", expression=f"http.{name}"))


def _start(query: Query) -> set[Criterion]:
    """The clause with the fewest things to look up: the other clauses only narrow what it finds."""
    return min((set(clause) - {NOTHING} for clause in query.clauses), key=len)


async def _read(serving: Facade, query: Query) -> list[Reading]:
    """The studies that the search starts from, each once."""
    found = await asyncio.gather(*(_look_up(serving, one) for one in sorted(_start(query), key=lambda one: one.value)))
    return list({one.rendered.study.study_id: one for one in found if one}.values())


async def _look_up(serving: Facade, criterion: Criterion) -> Reading | None:
    """The study of a criterion; what AutoScribe does not know, or what is not served, is found by no search."""
    try:
        if criterion.by == "report":
            return await serving.reads.report(criterion.value)
        if criterion.by == "study":
            return await serving.reads.study(criterion.value)
        return await serving.reads.study_by_uid(criterion.value)
    except (ResourceNotFound, UpstreamNotFound):
        return None


def _matches(query: Query, readings: Iterable[Reading]) -> tuple[list[Version], list[Issue]]:
    matches: list[Version] = []
    issues: list[Issue] = []
    for reading in readings:
        study = reading.rendered.study
        found = [
            (OF_REPORTS, fhir_id(report.report_id))
            for report in study.reports
            if all(any(_holds(one, study, report) for one in clause) for clause in query.clauses)
        ]
        matches += [reading.versions[key] for key in found if key in reading.versions]
        issues += [_suppressed(key) for key in found if key not in reading.versions]
        if found:
            whose = f"ImagingStudy/{fhir_id(study.study_id)}"
            issues += [of_mapping(one, whose) for one in reading.rendered.issues if one.severity != "information"]
    return matches, issues


def _holds(criterion: Criterion, study: Study, report: Report) -> bool:
    held = {"report": report.report_id, "study": study.study_id, "uid": study.study_instance_uid}
    return criterion.by != "nothing" and held[criterion.by] == criterion.value


def _included(
    serving: Facade, query: Query, matches: list[Version], readings: list[Reading], issues: list[Issue]
) -> Iterator[Version]:
    """What the matches refer to, each once; a resource that is not served is named in an issue."""
    read = {key: version for reading in readings for key, version in reading.versions.items()}
    wanted = [key for element in query.includes for match in matches for key in _references(match, element)]
    for key in dict.fromkeys(wanted):
        version = serving.seen.get(*key) or read.get(key)
        if version is None:
            issues.append(_suppressed(key))
        else:
            yield version


def _references(version: Version, element: str) -> Iterator[Key]:
    held = version.resource.get(element, [])
    for reference in held if isinstance(held, list) else [held]:
        resource_type, slash, resource_id = reference.get("reference", "").partition("/")
        if slash:
            yield resource_type, resource_id


def _suppressed(key: Key) -> Issue:
    diagnostics = f"{key[0]}/{key[1]} is not served: it does not pass the check that all resources go through"
    return Issue("warning", "suppressed", diagnostics, "suppressed")
