"""Warnings in a search answer: incomplete index, suppressed resources, identity conflicts, mapping issues.

https://hl7.org/fhir/R4/search.html#Warnings, decisions D2, D4, D12, D26, D43. Many clients treat every entry as a
match. So an issue that does not change how the answer is read, such as a mapping issue, is shown with `_explain` only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Final

from gateway.fhir_api.facade import Facade
from gateway.fhir_api.freshness import incompleteness, index_age
from gateway.fhir_api.http.outcome import Issue, issue_of_mapping
from gateway.fhir_api.search.paging import PagePosition, search_at
from gateway.fhir_api.search.search_query import Query
from gateway.index.criteria import Refers
from gateway.runtime.errors import StoreTooSlow
from gateway.store.studies import search as store
from gateway.store.studies import search_sql
from gateway.store.studies.search import Version
from gateway.store.studies.search_sql import ANY_REMARK, CONFLICTS, DISPUTED, SUPPRESSED, UPDATED, Search, Way
from mappings.patient.identifiers import fhir_id

_MOST_ISSUES: Final = 20
_MOST_OF_STUDY: Final = 1_000
_MOST_PATIENTS: Final = 20
_MOST_SUPPRESSED: Final = 5
_NOT_LOOKED_FOR: Final = Issue(
    "warning",
    "incomplete",
    "the search names patients by more than can be looked up: not all were checked for identity conflicts",
    "conflicts-unknown",
)
_PATIENT: Final = "Patient/"


async def warnings_of(serving: Facade, query: Query, matches: Sequence[Version]) -> list[Issue]:
    """Collect the warnings: index state, suppressed matches, patients with identity conflicts, disputed studies."""
    issues, remarks = incompleteness(serving, is_counted=query.sight.is_whole), _remarks(matches)
    if remarks & SUPPRESSED:
        for address in await store.suppressed(serving.engine, query.search(0), _MOST_SUPPRESSED):
            diagnostics = f"{address} is not served: it does not pass the check that all resources go through"
            issues.append(Issue("warning", "suppressed", diagnostics, "suppressed", about=address))
    if not query.sight.has_whole_studies:
        return issues  # these tell of other reports of a study, and of other studies
    patients = {*query.patients, *_patients(matches)} if remarks & CONFLICTS else set()
    for search in _patient_searches(query):
        led_to = await _led_to(serving, search)
        issues += [_NOT_LOOKED_FOR] if led_to is None else []
        patients |= {*_patients(led_to)} if led_to and _remarks(led_to) & CONFLICTS else set()
    if patients:
        held_apart = await store.conflicts(serving.engine, sorted(patients), query.sight.facilities)
        for patient_id, number in held_apart.items():
            diagnostics = (
                f"{_PATIENT}{patient_id}: {number} studies with this identifier speak of somebody else: held apart"
            )
            about = f"{_PATIENT}{patient_id}"
            issues.append(Issue("warning", "conflict", diagnostics, "identity-conflict", about=about))
    if studies := sorted({one.owner for one in matches if one.owner and one.remarks & DISPUTED}):
        for study_id, place, action in await store.disputed(serving.engine, studies, _MOST_ISSUES):
            diagnostics = f"{_study_address(study_id)} {place}: {action}"
            about = _study_address(study_id)
            issues.append(Issue("warning", "conflict", diagnostics, "identity-conflict", about=about))
    return issues


async def _led_to(serving: Facade, search: Search) -> Sequence[Version] | None:
    """Return the Patients that a chain names; None if the store finds it too costly (the search is answered anyway)."""
    try:
        return (await store.page(serving.engine, search)).versions
    except StoreTooSlow:
        return None


async def mapping_warnings(serving: Facade, query: Query, matches: Sequence[Version]) -> list[Issue]:
    """Collect the mapping issues of the studies found, up to a limit (D4), for clients that see whole studies."""
    studies = sorted({one.owner for one in matches if one.owner}) if query.sight.has_whole_studies else []
    rows = await store.issues(serving.engine, studies, _MOST_ISSUES) if studies else []
    return [issue_of_mapping(one, _study_address(study_id)) for study_id, one in rows]


async def study_warnings(serving: Facade, study_id: str) -> list[tuple[str, Issue]]:
    """Collect the mapping issues of a study, each with its JSON pointer."""
    rows = await store.issues(serving.engine, [study_id], _MOST_OF_STUDY)
    return [(one.pointer, issue_of_mapping(one, _study_address(study_id))) for _, one in rows]


def _study_address(study_id: str) -> str:
    return f"ImagingStudy/{fhir_id(study_id)}"


def _remarks(matches: Sequence[Version]) -> int:
    """Return the kinds of remarks on the matches; without matches, any kind is possible."""
    return reduce(or_, [one.remarks for one in matches]) if matches else ANY_REMARK


def _patients(matches: Sequence[Version]) -> Iterator[str]:
    """Return the ids of Patients among the matches."""
    return (one.address.removeprefix(_PATIENT) for one in matches if one.address.startswith(_PATIENT))


def _patient_searches(query: Query) -> Iterator[Search]:
    """Build searches for Patients that the query names by a chain, such as `patient.identifier`."""
    for place in query.narrowing:
        chained = [one for one in query.clauses[place] if isinstance(one, Refers) and one.key in query.patient_keys]
        if chained:
            asked, limits = tuple(one.criterion for one in chained), query.sight.limits("Patient", "s")
            yield Search("Patient", (asked, *limits), 0, (UPDATED,), _MOST_PATIENTS, limits=tuple(limits))


def explanation(serving: Facade, query: Query, place: PagePosition, way: Way | None, asked: int) -> Issue:
    """Build the issue for `_explain`: parameters used, requests to AutoScribe, age of the index, SQL without values.

    A limited client sees no SQL, which tells what it is limited to, nor the `way` in which the page was found, which
    tells how many resources there are that it does not see.
    """
    search = search_at(query, place)
    used = ", ".join(dict.fromkeys(name for name, _ in query.used)) or "none"
    seconds, dialect = index_age(serving), serving.engine.dialect
    shown = way or search_sql.way_from_start(search, search_sql.page(search), dialect)
    how = f", {shown.how}," if query.sight.is_whole else ","
    diagnostics = (
        f"parameters used: {used}; AutoScribe was asked for {asked} of the studies and reports that are named; found"
        f" in the index{how}"
        f" {'read at once' if search_sql.is_bounded(search) else 'read apart, for it may take a while'};"
        f" index age: {'unknown' if seconds is None else f'{seconds} s'}; {dialect}"
    )
    if query.sight.is_whole:
        diagnostics += f": {shown.sql}"
    return Issue("information", "informational", diagnostics, "explanation")
