"""Parameters of a search read into a query: https://hl7.org/fhir/R4/search.html, decision D30."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.indexed import HERE

from gateway.auth.access import Access
from gateway.auth.scopes import scope_list
from gateway.auth.visibility import Visibility
from gateway.fhir_api.search.result_parameters import Include
from gateway.fhir_api.search.search_query import Query, insist, understand
from gateway.index.criteria import At, During, Is, Starts
from gateway.index.keys import key
from gateway.index.parameter_lookup import parameter
from gateway.runtime.request_errors import BadRequest, NotSupported, SearchTooCostly
from gateway.store.studies.search_sql import UPDATED, Sort, page

REPORT = "DiagnosticReport"


def query(*given: tuple[str, str], strict: bool = False) -> Query:
    return understand(REPORT, given, HERE, strict=strict)


def reported(issues: Any) -> list[tuple[str, str, str, str]]:
    return [(one.severity, one.code, one.detail, one.expression) for one in issues]


def test_parameters_are_combined_by_and_and_their_values_by_or() -> None:
    found = query(("patient", "pat-1,pat-2"), ("status", "final"))
    patients, status = found.clauses
    assert len(patients) == 2 and status == (Starts(key(REPORT, "status"), "final\x1f"),)
    assert found.used == [("patient", "pat-1,pat-2"), ("status", "final")]
    assert found.ignored == found.warnings == found.remarks == []


def test_without_result_parameters_a_query_has_the_usual_shape() -> None:
    found = query(("patient", "pat-1"))
    assert (found.count, found.total, found.explain, found.includes) == (50, "", False, [])
    assert found.sort == (UPDATED,)
    assert not found.is_count


def test_a_search_by_date_alone_is_ordered_by_that_date() -> None:
    found = query(("date", "2024-03-15"))
    assert isinstance(found.clauses[0][0], During)
    assert found.sort == (Sort("moment", key(REPORT, "date")),)


def test_a_search_by_a_code_and_a_date_is_ordered_by_that_date() -> None:
    given = (("interpretation", "AA"), ("date", "2024-03-15"))
    found = understand("Observation", given, HERE, strict=False)
    assert (found.start, found.sort) == (0, (Sort("moment", key("Observation", "date")),))
    recent = understand("Observation", (*given, ("_lastUpdated", "ge2024")), HERE, strict=False)
    assert recent.sort == (UPDATED,)


def test_the_cheapest_clause_that_narrows_is_the_start() -> None:
    found = query(("date", "ge2024"), ("status", "final"), ("patient", "pat-1"))
    assert found.narrowing == [0, 2]
    assert found.start == 2
    assert query(("_id", "rep-1"), ("patient", "pat-1")).start == 0


def test_the_patients_that_a_query_names_are_known_for_its_warnings() -> None:
    assert query(("patient", "pat-1,pat-2"), ("subject", "Patient/pat-3")).patients == ("pat-1", "pat-2", "pat-3")
    assert query(("_id", "rep-1"), ("performer", "Practitioner/usr-1"), ("status", "final")).patients == ()
    assert understand("Patient", (("_id", "pat-9"),), HERE, strict=False).patients == ("pat-9",)
    assert query(("patient", "pat-1")).patient_keys == {key(REPORT, "patient")}


def test_what_is_not_known_is_reported_and_not_used() -> None:
    found = query(("patient", "pat-1"), ("nonsense", "1"), ("_include", "DiagnosticReport:nonsense"))
    assert reported(found.ignored) == [
        ("warning", "not-supported", "parameter-ignored", "http.nonsense"),
        ("warning", "not-supported", "parameter-ignored", "http._include"),
    ]
    assert found.used == [("patient", "pat-1")]
    assert found.includes == []


@pytest.mark.parametrize(
    ("name", "value"), [("nonsense", "1"), ("_include", "X:y"), ("_sort", "nonsense"), ("_elements", "nonsense")]
)
def test_a_strict_search_refuses_what_it_would_ignore(name: str, value: str) -> None:
    assert query(("patient", "pat-1"), (name, value)).ignored
    with pytest.raises(NotSupported) as refused:
        query(("patient", "pat-1"), (name, value), strict=True)
    assert refused.value.expression == f"http.{name}"


def test_to_insist_on_a_query_that_ignores_nothing_changes_nothing() -> None:
    insist(query(("patient", "pat-1")))


def test_result_parameters_shape_the_answer() -> None:
    found = query(
        *(("patient", "pat-1"), ("_count", "7"), ("_total", "accurate"), ("_explain", "true"), ("_summary", "true")),
        *(("_include", "DiagnosticReport:patient"), ("_sort", "-date,status")),
    )
    patient = parameter(REPORT, "patient")
    assert patient is not None
    assert (found.count, found.total, found.explain, found.shape.summary) == (7, "accurate", True, "true")
    assert found.includes == [Include(patient)]
    assert found.sort == (
        Sort("moment", key(REPORT, "date"), descending=True),
        Sort("term", key(REPORT, "status")),
    )
    assert found.used == [
        *(("patient", "pat-1"), ("_count", "7"), ("_total", "accurate"), ("_explain", "true"), ("_summary", "true")),
        *(("_include", "DiagnosticReport:patient"), ("_sort", "-date,status")),
    ]
    assert not query(("patient", "pat-1"), ("_explain", "false")).explain


def test_a_sort_key_that_is_not_offered_is_reported_and_the_others_apply() -> None:
    found = query(("patient", "pat-1"), ("_sort", "nonsense,date"))
    assert reported(found.ignored) == [("warning", "not-supported", "parameter-ignored", "http._sort")]
    assert found.sort == (Sort("moment", key(REPORT, "date")),)
    assert found.used[-1] == ("_sort", "date")
    [said] = found.ignored
    assert said.diagnostics == (
        "_sort: not sorted by a name that is no parameter here; the keys of DiagnosticReport: _id, _lastUpdated,"
        " status, patient, subject, date, issued, signed"
    )
    for keys, named in (
        ("code", "code"),
        ("category,-identifier,doe", "category, identifier, a name that"),
        ("media", "media"),
    ):
        [said] = query(("patient", "pat-1"), ("_sort", keys)).ignored
        assert f"not sorted by {named}" in said.diagnostics
    assert ("_sort", "") not in query(("patient", "pat-1"), ("_sort", "nonsense")).used


@pytest.mark.parametrize(("count", "is_cut"), [("500", False), ("501", True), ("499", False)])
def test_a_page_size_over_the_maximum_is_remarked(count: str, is_cut: bool) -> None:
    found = query(("patient", "pat-1"), ("_count", count))
    expected = [("information", "informational", "count-cut", "http._count")] if is_cut else []
    assert reported(found.remarks) == expected


@pytest.mark.parametrize("given", [("_count", "0"), ("_summary", "count")])
def test_a_search_for_the_total_alone_is_known(given: tuple[str, str]) -> None:
    assert query(("patient", "pat-1"), given).is_count
    assert not query(("patient", "pat-1"), ("_count", "1"), ("_summary", "true")).is_count


def test_a_code_that_an_element_cannot_have_is_a_warning() -> None:
    found = query(("patient", "pat-1"), ("status", "finished"))
    assert reported(found.warnings) == [("warning", "code-invalid", "unknown-code", "http.status")]
    assert len(found.clauses) == 2


@pytest.mark.parametrize("given", [(), (("status", "final"),), (("patient:missing", "true"),), (("_sort", "date"),)])
def test_a_search_that_nothing_narrows_is_too_costly(given: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(SearchTooCostly):
        query(*given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("Patient", ("_has:DiagnosticReport:patient:code", "18748-4")),
        ("Patient", ("_has:DiagnosticReport:patient:status", "final,amended")),
        ("Patient", ("identifier", "urn:x|")),
        ("DiagnosticReport", ("patient.identifier", "urn:x|")),
        ("DiagnosticReport", ("based-on:identifier", "urn:x|")),
    ],
)
def test_what_only_the_index_can_bound_is_searched_by_who_sees_all_and_only_if_nothing_narrows(
    kind: str, given: tuple[str, str]
) -> None:
    found = understand(kind, (given,), HERE, strict=False)
    assert found.narrowing == [0]
    assert understand(kind, (given, ("_id", "x")), HERE, strict=False).narrowing == [1]
    limited = Access("client-a", scope_list("patient/*.rs"), None, 0, None, "pat-1")
    with pytest.raises(SearchTooCostly):
        understand(kind, (given,), HERE, strict=False, sight=Visibility(limited))


@pytest.mark.parametrize(
    "given",
    [
        ("_has:DiagnosticReport:patient:code:text", "head"),
        ("_has:DiagnosticReport:patient:date", "ne2024"),
        ("identifier:not", "urn:x|"),
        ("gender", "female"),
    ],
)
def test_what_no_index_can_bound_is_too_costly(given: tuple[str, str]) -> None:
    with pytest.raises(SearchTooCostly):
        understand("Patient", (given,), HERE, strict=False)


def several(count: int, start: int = 0) -> str:
    return ",".join(f"rep-{number}" for number in range(start, start + count))


def test_a_search_has_at_most_thirty_parameters_a_hundred_values_of_one_and_three_hundred_in_all() -> None:
    assert len(query(*[("_id", "rep-1")] * 30).clauses) == 30
    assert len(query(("_id", several(100))).clauses[0]) == 100
    assert sum(map(len, query(*[("_id", several(100))] * 3).clauses)) == 300
    for given in ([("_id", "rep-1")] * 31, [("_id", several(101))], [*[("_id", several(100))] * 3, ("_id", "rep-1")]):
        with pytest.raises(SearchTooCostly):
            query(*given)


def test_a_malformed_value_is_refused() -> None:
    with pytest.raises(BadRequest):
        query(("patient", "pat-1"), ("date", "yesterday"))


def test_a_query_becomes_a_search_of_the_store() -> None:
    found = query(("patient", "pat-1"), ("_id", "rep-1"), ("_sort", "-_lastUpdated"))
    made = found.search(11, until=5)
    assert (made.resource_type, made.clauses, made.start, made.sort, made.most, made.until) == (
        *(REPORT, tuple(found.clauses), 1, (Sort("updated", descending=True),), 11, 5),
    )
    assert found.clauses[1] == (At("DiagnosticReport/rep-1"),)


def test_a_client_without_limits_asks_the_database_the_same_as_everybody() -> None:
    sight = Visibility(Access("client-a", scope_list("system/*.rs"), None, 0))
    for kind, pairs in (
        ("DiagnosticReport", (("patient.identifier", "a|b"), ("date", "ge2020"))),
        ("Practitioner", (("name", "x"), ("_lastUpdated", "ge2020"))),
    ):
        own = understand(kind, pairs, HERE, strict=True, sight=sight).search(20)
        assert page(own) == page(understand(kind, pairs, HERE, strict=True).search(20))


def test_a_search_for_one_patient_starts_from_the_patient() -> None:
    sight = Visibility(Access("client-a", scope_list("patient/*.rs"), None, 0, None, "pat-1"))
    query = understand("DiagnosticReport", (("date", "ge2020"),), HERE, strict=True, sight=sight)
    assert query.start == 1
    assert query.patients == ()
    assert query.search(20).clauses[1] == (Is(key("DiagnosticReport", "patient"), "Patient/pat-1"),)


def test_what_several_studies_describe_comes_in_the_order_of_addresses_for_a_limited_client() -> None:
    access = Access("client-a", scope_list("system/*.rs"), frozenset({"city"}), 0)
    sight = Visibility(access, ("Organization/org-1",))
    for pairs in ((("name", "x"),), (("name", "x"), ("_sort", "-_id"))):
        query = understand("Practitioner", pairs, HERE, strict=True, sight=sight)
        assert [one.by for one in query.sort][-1] == "address"
    with pytest.raises(NotSupported):
        understand("Practitioner", (("name", "x"), ("_sort", "_lastUpdated")), HERE, strict=True, sight=sight)
