"""Result parameters: https://hl7.org/fhir/R4/search.html#modifyingresults, decision D30."""

from __future__ import annotations

import pytest

from gateway.fhir_api.http.query import RESULT_PARAMETERS
from gateway.fhir_api.search.result_parameters import (
    Include,
    check,
    include,
    includes,
    includes_of,
    revincludes_of,
    sorts,
)
from gateway.index.keys import key
from gateway.index.parameter_lookup import parameter
from gateway.runtime.request_errors import BadRequest, NotSupported
from gateway.store.studies.search_sql import Sort

REPORT = "DiagnosticReport"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("_total", value) for value in ("none", "estimate", "accurate")),
        *((name, value) for name in ("_pretty", "_explain") for value in ("true", "false")),
        *(("_contained", "false"), ("_count", "anything"), ("_include:iterate", "anything"), ("_format", "xml")),
    ],
)
def test_a_value_that_a_result_parameter_can_have_passes(name, value):
    check(name, value)


@pytest.mark.parametrize("name", ["_total", "_pretty", "_explain", "_contained"])
def test_any_other_value_is_refused_with_the_values_it_can_have(name):
    with pytest.raises(BadRequest, match=r"false|accurate, estimate, none") as refused:
        check(name, "true " if name == "_contained" else "perhaps")
    assert refused.value.expression == f"http.{name}"


@pytest.mark.parametrize("name", ["_count:exact", "_include:recurse", "_sort:text", "_revinclude:iterate"])
def test_a_modifier_that_is_not_offered_is_refused(name):
    with pytest.raises(NotSupported) as refused:
        check(name, "1")
    assert refused.value.expression == f"http.{name.partition(':')[0]}"


def test_each_result_parameter_has_a_description_for_the_documents():
    assert all(len(text) > 10 for text in RESULT_PARAMETERS.values())
    assert {"_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total"} <= RESULT_PARAMETERS.keys()


def test_sort_keys_keep_their_order_and_direction():
    found, unknown = sorts(REPORT, (("_sort", "-date,status"), ("patient", "x"), ("_sort", "_id,-_lastUpdated")))
    assert list(found.items()) == [
        ("-date", Sort("moment", key(REPORT, "date"), descending=True)),
        ("status", Sort("term", key(REPORT, "status"))),
        ("_id", Sort("address")),
        ("-_lastUpdated", Sort("updated", descending=True)),
    ]
    assert unknown == []


def test_a_sort_key_that_is_not_offered_is_named_and_the_others_stay():
    assert sorts(REPORT, (("_sort", "-nonsense,date"),)) == (
        {"date": Sort("moment", key(REPORT, "date"))},
        ["nonsense"],
    )


def test_five_sort_keys_are_taken_and_six_refused():
    five = "date,-date,status,-status,issued"
    assert len(sorts(REPORT, (("_sort", five),))[0]) == 5
    with pytest.raises(BadRequest) as refused:
        sorts(REPORT, (("_sort", f"{five},-issued"),))
    assert refused.value.expression == "http._sort"


def reference(resource_type, name):
    row = parameter(resource_type, name)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("_include", "DiagnosticReport:patient", Include(reference(REPORT, "patient"))),
        ("_include", "DiagnosticReport:subject:Patient", Include(reference(REPORT, "subject"), "Patient")),
        ("_include", "DiagnosticReport:subject:Practitioner", None),
        ("_include", "DiagnosticReport:status", None),
        ("_include", "DiagnosticReport:nonsense", None),
        ("_include", "ImagingStudy:patient", None),
        (
            "_include:iterate",
            "ImagingStudy:patient",
            Include(reference("ImagingStudy", "patient"), is_iterated=True),
        ),
        ("_revinclude", "Provenance:target", Include(reference("Provenance", "target"), is_back=True)),
        (
            "_revinclude",
            "Provenance:target:DiagnosticReport",
            Include(reference("Provenance", "target"), is_back=True),
        ),
        ("_revinclude", "Provenance:target:Patient", None),
        ("_revinclude", "ImagingStudy:patient", None),
    ],
)
def test_an_include_names_a_reference_of_the_match_or_to_the_match(name, value, expected):
    assert include(REPORT, name, value) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("_revinclude", value) for value in ("*", "DiagnosticReport:*")),
        *(("_include:iterate", value) for value in ("*", "DiagnosticReport:*")),
        ("_include", "Patient:*"),
        ("_include", "DiagnosticReport:patient:*"),
    ],
)
def test_to_include_everything_else_is_refused(name, value):
    with pytest.raises(NotSupported) as refused:
        includes(REPORT, name, value)
    assert refused.value.expression == f"http.{name}"


@pytest.mark.parametrize("value", ["*", "DiagnosticReport:*"])
def test_a_star_includes_by_each_reference_of_the_type_once(value):
    every = includes(REPORT, "_include", value)
    assert {one.reference.key for one in every} == {reference(*one.split(":")).key for one in includes_of(REPORT)}
    assert len({one.reference.key for one in every}) == len(every)
    assert includes("Provenance", "_include", "*") == (Include(reference("Provenance", "target")),)


def test_what_is_not_offered_includes_nothing():
    assert includes(REPORT, "_include", "DiagnosticReport:status") == ()
    assert includes(REPORT, "_include", "DiagnosticReport:patient") == (Include(reference(REPORT, "patient")),)


def test_each_include_that_is_listed_for_a_type_is_offered_for_it():
    own, back = list(includes_of(REPORT)), list(revincludes_of(REPORT))
    assert "DiagnosticReport:patient" in own and "Provenance:target" in back
    assert all(one.startswith("DiagnosticReport:") for one in own)
    assert all(include(REPORT, "_include", one) for one in own)
    assert all(include(REPORT, "_revinclude", one) for one in back)
    assert not set(own) & set(back)
