"""https://hl7.org/fhir/R4/search.html#sort."""

from __future__ import annotations

import pytest

from gateway.index.keys import key
from gateway.index.sorting import SortKey, sort_key, sort_keys_of


@pytest.mark.parametrize(
    ("resource_type", "name", "expected"),
    [
        ("DiagnosticReport", "date", SortKey("moment", key("DiagnosticReport", "date"))),
        ("DiagnosticReport", "issued", SortKey("moment", key("DiagnosticReport", "issued"))),
        ("DiagnosticReport", "signed", SortKey("moment", key("DiagnosticReport", "signed"))),
        ("DiagnosticReport", "patient", SortKey("term", key("DiagnosticReport", "patient"))),
        ("DiagnosticReport", "subject", SortKey("term", key("DiagnosticReport", "patient"))),
        ("Provenance", "patient", None),
        ("DiagnosticReport", "status", SortKey("term", key("DiagnosticReport", "status"))),
        ("DiagnosticReport", "_lastUpdated", SortKey("updated", None)),
        ("DiagnosticReport", "_id", SortKey("id", None)),
        ("Patient", "family", SortKey("term", key("Patient", "family"))),
        ("Patient", "birthdate", SortKey("moment", key("Patient", "birthdate"))),
        ("ImagingStudy", "started", SortKey("moment", key("ImagingStudy", "started"))),
        ("DiagnosticReport", "code", None),
        ("DiagnosticReport", "started", None),
        ("Patient", "date", None),
        ("Condition", "_id", None),
    ],
)
def test_a_search_is_sorted_by_what_the_index_holds_in_order(resource_type, name, expected):
    assert sort_key(resource_type, name) == expected


def test_each_type_has_a_list_of_the_names_that_sort_it():
    assert sort_keys_of("Patient") == ("_id", "_lastUpdated", "name", "family", "given", "birthdate")
    assert sort_keys_of("Provenance") == ("_id", "_lastUpdated", "recorded")
    assert sort_keys_of("Condition") == ()
