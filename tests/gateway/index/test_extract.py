"""Index rows of a resource: https://hl7.org/fhir/R4/search.html#ptypes, tried on every golden resource."""

from __future__ import annotations

import json
import re
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes.wire_strategies import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.index.extract import LONGEST, longest, rows
from gateway.index.intervals import interval
from gateway.index.keys import MOST, key
from gateway.index.parameter_lookup import parameter
from gateway.index.terms import code_term, exact
from mappings import decode, to_fhir
from mappings.codes import CANONICAL
from mappings.fhir.extensions import extension_url
from mappings.profile import parse_site

ZONE = ZoneInfo("America/New_York")
GOLDEN = Path(__file__).parents[2] / "golden"
RESOURCES = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*/fhir/*.json"))}
UNFIT = re.compile("[\x00\ud800-\udfff]")
LOINC = "http://loinc.org"
HEX = "1234567890abcdef1234567890abcdef"
SITE = parse_site("""
[mapping]
accession_keys = ["accession"]
[[mapping.facilities]]
name = "Mercy"
time_zone = "America/New_York"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
""")


def named(resource, zone=ZONE, **more):
    """Return the index rows of a resource, keyed by parameter name."""
    names = {}
    for name in ("identifier", "status", "category", "code", "patient", "date", "issued", "signed", "critical"):
        names |= {key(resource["resourceType"], suffixed): suffixed for suffixed in _suffixed(name)}
    for name in ("name", "family", "given", "address", "performer", "period", "addendum", "_profile", "_tag"):
        names |= {key(resource["resourceType"], suffixed): suffixed for suffixed in _suffixed(name)}
    terms, moments = rows(resource, zone, **more)
    found = {}
    for one, value in terms:
        found.setdefault(names.get(one), set()).add(value)
    for one, low, high in moments:
        found.setdefault(names.get(one), set()).add((low, high))
    return found


def _suffixed(name):
    return (name, *(f"{name}:{modifier}" for modifier in ("text", "of-type", "exact", "identifier", "missing")))


def report(**elements):
    return {"resourceType": "DiagnosticReport", "id": f"rep-{HEX}", **elements}


def extension(name, value):
    return {"url": extension_url(CANONICAL, name), "valueBoolean": value}


def test_a_report_of_the_vendor_is_found_by_these_and_no_others():
    found = named(RESOURCES[f"DiagnosticReport-rep-{HEX}"], signed="2024-03-15T16:00:00Z")
    assert {value.partition("/")[0] for value in found.pop(None)} == {
        "ImagingStudy",
        "Observation",
        "ServiceRequest",
        code_term(f"usr_{HEX}", "urn:autoscribe-gateway:user"),
        "",  # the interpreter is there, without an address
    }
    assert found == {
        "identifier": {
            code_term(f"rep_{HEX}", "urn:autoscribe-gateway:report"),
            code_term("0YLmNXKwLi730CA4yCUuRr", "urn:autoscribe-gateway:filler-order-number"),
        },
        "identifier:of-type": {
            code_term("0YLmNXKwLi730CA4yCUuRr", "http://terminology.hl7.org/CodeSystem/v2-0203|FILL")
        },
        "status": {code_term("final", "http://hl7.org/fhir/diagnostic-report-status")},
        "category": {
            code_term("LP29684-5", LOINC),
            code_term("RAD", "http://terminology.hl7.org/CodeSystem/v2-0074"),
        },
        "category:text": {"radiology"},
        "code": {code_term("18748-4", LOINC), code_term("24589-4", LOINC)},
        "code:text": {"mri brain with contrast", "diagnostic imaging study", "brain mri w contrast iv"},
        "patient": {"Patient/pat-7d2f1f8e048f599c7f455e4a803bbd59"},
        "date": {interval("2024-03-15T14:30:00-04:00", UTC)},
        "issued": {interval("2024-03-15T16:00:00Z", UTC)},
        "signed": {interval("2024-03-15T16:00:00Z", UTC)},
        "performer": {"Organization/org-1faeeed04ec31a2e902c1fdd27c1e580"},
        "performer:identifier": {code_term(f"usr_{HEX}", "urn:autoscribe-gateway:user")},
        "critical": {code_term("false")},
        "addendum": {code_term("false")},
        "_profile": {"http://hl7.org/fhir/us/core/StructureDefinition/us-core-diagnosticreport-note"},
    }


def test_every_resource_is_found_by_something_and_by_nothing_too_long():
    for name, resource in RESOURCES.items():
        terms, moments = rows(resource, ZONE)
        assert terms, name
        assert max(len(value) for _, value in terms) <= 2 * (MOST + 1 + 32) + 1, name
        assert all(0 < high - low <= longest(one) for one, low, high in moments), name


def test_a_report_that_does_not_say_whether_it_is_critical_is_found_as_unknown():
    assert named(report())["critical"] == {code_term("unknown")}
    assert named(report(extension=[extension("isAddendum", True)])) == {
        "critical": {code_term("unknown")},
        "addendum": {code_term("true")},
    }
    assert named(report(extension=[extension("isCritical", False)]))["critical"] == {code_term("false")}


@pytest.mark.parametrize(
    "url", [extension_url("https://fhir.hospital.example", "isCritical"), "urn:autoscribe-gateway:extension:isCritical"]
)
def test_a_critical_report_is_found_under_every_base_and_as_earlier_releases_wrote_it(url):
    assert named(report(extension=[{"url": url, "valueBoolean": True}]))["critical"] == {code_term("true")}


def test_an_extension_of_another_name_or_kind_is_not_taken_for_the_critical_flag():
    for url in ("https://fhir.hospital.example/StructureDefinition/notIsCritical", "isCritical", ""):
        assert named(report(extension=[{"url": url, "valueBoolean": True}]))["critical"] == {code_term("unknown")}


def test_the_signing_instant_is_what_the_caller_says_it_is():
    appended = report(issued="2024-03-16T09:00:00Z")
    found = named(appended, signed="2024-03-15T16:00:00Z")
    assert found["signed"] == {interval("2024-03-15T16:00:00Z", UTC)}
    assert found["issued"] == {interval("2024-03-16T09:00:00Z", UTC)}
    assert "signed" not in named(appended)


def test_a_day_is_one_of_the_zone_that_is_given():
    one = report(effectiveDateTime="2024-03-15")
    assert named(one)["date"] == {interval("2024-03-15T04:00:00Z", UTC)[:1] + interval("2024-03-16T04:00Z", UTC)[:1]}
    assert named(one, UTC)["date"] == {interval("2024-03-15", UTC)}


def test_a_name_is_found_by_each_of_its_parts_and_by_its_text():
    name = {"text": "Dr. Jane Q Doe", "family": "Doe", "given": ["Jane", "Q"], "prefix": ["Dr."], "use": "usual"}
    found = named({"resourceType": "Patient", "name": [name]})
    assert found["name"] == {"dr. jane q doe", "doe", "jane", "q", "dr."}
    assert found["name:exact"] == {"Dr. Jane Q Doe", "Doe", "Jane", "Q", "Dr."}
    assert (found["family"], found["given"]) == ({"doe"}, {"jane", "q"})
    assert "family:exact" in found


def test_an_address_is_found_by_each_of_its_parts():
    address = {"use": "work", "line": ["1 Main St"], "city": "Troy", "state": "NY", "postalCode": "12180"}
    found = named({"resourceType": "Organization", "address": [address], "name": "Mercy", "alias": ["City Clinic"]})
    assert found["address"] == {"1 main st", "troy", "ny", "12180"}
    assert found["name"] == {"mercy", "city clinic"}


def test_a_reference_is_found_by_its_address_and_by_its_identifier():
    by_identifier = {"type": "Practitioner", "identifier": {"system": "urn:u", "value": "usr_1"}}
    found = named(report(performer=[by_identifier, {"reference": "Organization/org-1"}, {"display": "somebody"}]))
    assert found["performer"] == {"Organization/org-1"}
    assert found["performer:identifier"] == {code_term("usr_1", "urn:u")}


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ({"start": "2024-01-05T22:00Z", "end": "2024-01-06T01:00Z"}, ("2024-01-05T22:00Z", "2024-01-06T01:00Z")),
        ({"start": "2024-01-05", "end": "2024-01-05"}, ("2024-01-05", "2024-01-05")),
    ],
)
def test_a_period_lasts_from_the_beginning_of_its_start_to_the_end_of_its_end(period, expected):
    first, last = (interval(one, ZONE) for one in expected)
    assert named({"resourceType": "DocumentReference", "context": {"period": period}})["period"] == {
        (first[0], last[1])
    }


def test_of_a_period_too_long_or_open_what_is_next_to_its_known_end_is_found():
    low, _ = interval("2020-01-05", ZONE)
    _, high = interval("2024-01-05", ZONE)
    cases = {
        (("start", "2020-01-05"), ("end", "2024-01-05")): {(low, low + LONGEST)},
        (("start", "2020-01-05"),): {(low, low + LONGEST)},
        (("end", "2024-01-05"),): {(high - LONGEST, high)},
        (("start", "2024-01-05"), ("end", "2020-01-05")): None,
        (): None,
    }
    for period, expected in cases.items():
        resource = {"resourceType": "DocumentReference", "context": {"period": dict(period)}}
        assert named(resource).get("period") == expected


def test_a_birth_date_lasts_as_long_as_the_year_or_month_that_is_said():
    for said in ("1950", "1952", "1950-02", "1950-02-03"):
        moments = rows({"resourceType": "Patient", "birthDate": said}, ZONE).moments
        assert moments == {(key("Patient", "birthdate"), *interval(said, ZONE))}


def test_of_a_parameter_there_is_one_interval_at_most():
    for resource in RESOURCES.values():
        keys = [one for one, _, _ in rows(resource, ZONE, signed=resource.get("issued")).moments]
        assert len(keys) == len(set(keys))


def test_a_coding_without_a_code_is_found_by_its_text_alone():
    study = {"resourceType": "ImagingStudy", "modality": [{"display": "Fluoro"}, {"system": "s", "code": "CT"}]}
    terms, _ = rows(study, ZONE)
    modality = parameter("ImagingStudy", "modality")
    assert terms == {(modality.key, code_term("CT", "s")), (modality.key_with("text"), "fluoro")}


def test_what_the_meta_of_a_resource_says_is_found():
    meta = {"tag": [{"system": "s", "code": "t"}], "profile": ["urn:p"], "source": "urn:x", "versionId": "1"}
    assert rows({"resourceType": "Patient", "meta": meta}, ZONE).terms == {
        (key("Patient", "_tag"), code_term("t", "s")),
        (key("Patient", "_profile"), "urn:p"),
        (key("Patient", "_source"), "urn:x"),
        (key("Patient", "active"), code_term("true")),
    }


def test_a_type_that_is_not_searched_has_no_rows():
    assert rows({"resourceType": "Binary", "id": "x"}, ZONE) == (frozenset(), frozenset())


@pytest.mark.full
@settings(max_examples=40)
@given(studies())
def test_any_study_the_wire_allows_has_rows_that_every_database_can_hold(wire):
    for resource in to_fhir(decode(*wire), SITE).output:
        terms, moments = rows(resource, ZONE, signed=resource.get("issued"))
        assert not any(UNFIT.search(value) for _, value in terms)
        assert all(len(value) <= 2 * (MOST + 33) + 1 for _, value in terms)
        assert all(0 < high - low <= longest(one) and abs(low) < 2**62 for one, low, high in moments)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_terms_that_every_database_can_hold(text):
    name = {"resourceType": "Patient", "name": [{"text": text}], "identifier": [{"system": text, "value": text}]}
    terms, _ = rows({**name, "gender": text, "meta": {"source": text}, "address": [{"line": [text]}]}, ZONE)
    assert not any(UNFIT.search(value) for _, value in terms)
    assert (key("Patient", "name:exact"), exact(text)) in terms


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("code", {"code": {"text": "CT of a kind of its own"}}),
        ("patient", {"subject": {"display": "Jane Doe"}}),
        ("date", {"effectivePeriod": {"extension": []}}),
        ("identifier", {"identifier": [{"system": "urn:x"}]}),
        ("status", {"status": "final"}),
    ],
)
def test_an_element_without_a_value_to_search_for_is_known_to_be_there(name, elements):
    found = named(report(**elements))
    is_read = name == "status"
    assert (name in found) == is_read
    assert found.get(f"{name}:missing") == (None if is_read else {""})
    assert f"{name}:missing" not in named(report())
