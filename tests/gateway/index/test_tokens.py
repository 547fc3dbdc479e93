"""https://hl7.org/fhir/R4/search.html#token."""

from __future__ import annotations

import pytest
from fakes.indexed import LOINC, STUDY, UID, V2_0074, search

from gateway.runtime.request_errors import BadRequest


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=final", {"rep-1"}),
        ("status=final,registered", {"rep-1", "rep-2"}),
        ("status=http://hl7.org/fhir/diagnostic-report-status|final", {"rep-1"}),
        ("status=|final", {"rep-1"}),
        ("status=urn:other|final", set()),
        ("status=FINAL", set()),
        ("status=fin", set()),
        ("status=http://hl7.org/fhir/diagnostic-report-status|", {"rep-1", "rep-2"}),
        (f"category={LOINC}|LP29684-5", {"rep-1", "rep-2"}),
        ("category=RAD", {"rep-1", "rep-2"}),
        (f"category={V2_0074}|LP29684-5", set()),
        (f"code={LOINC}|18748-4,{LOINC}|none", {"rep-1"}),
        ("code=|18748-4", set()),
        (f"code={LOINC}|", {"rep-1", "rep-2"}),
        ("status:not=final", {"rep-2"}),
        ("status:not=final,registered", set()),
        (f"category={LOINC}|lp29684-5", {"rep-1", "rep-2"}),
        ("category=lp29684-5", {"rep-1", "rep-2"}),
        ("category=rad", set()),
        ("performer:missing=true", set()),
        ("performer:missing=false", {"rep-1", "rep-2"}),
        ("critical=http://terminology.hl7.org/CodeSystem/special-values|true", {"rep-1"}),
        ("critical=http://terminology.hl7.org/CodeSystem/special-values|unknown", {"rep-2"}),
        ("critical=http://terminology.hl7.org/CodeSystem/special-values|", {"rep-1", "rep-2"}),
        ("addendum=http://terminology.hl7.org/CodeSystem/special-values|", {"rep-1", "rep-2"}),
        ("critical=|true", {"rep-1"}),
        ("critical=urn:other|true", set()),
        ("study=urn:autoscribe-gateway:study|", {"rep-1", "rep-2"}),
        ("identifier=urn:autoscribe-gateway:report|", {"rep-1"}),
        ("_tag=urn:tag|", {"rep-1"}),
        ("_tag:not=urn:tag|", {"rep-2"}),
        ("code:text=chest", {"rep-1"}),
        ("code:text=IMAGING study", {"rep-1"}),
        ("code:text=brain", {"rep-2"}),
        ("conclusion=1", set()),
        ("conclusion:missing=true", {"rep-1", "rep-2"}),
        ("issued:missing=false", {"rep-1"}),
        ("issued:missing=true", {"rep-2"}),
        ("based-on:missing=true", {"rep-2"}),
        ("basedOn:missing=true", {"rep-2"}),
        ("subject:missing=true", set()),
        ("critical=true", {"rep-1"}),
        ("critical=unknown", {"rep-2"}),
        ("critical=false", set()),
        ("critical:not=true", {"rep-2"}),
        ("addendum=true", {"rep-2"}),
        ("_tag=urn:tag|x", {"rep-1"}),
        ("_tag:not=x", {"rep-2"}),
        ("_profile=http://hl7.org/p", {"rep-1"}),
        ("_profile=http://hl7.org/", set()),
        ("_id=rep-1,rep-3", {"rep-1"}),
        ("_lastUpdated=ge2024-04-09", {"rep-2"}),
        ("_lastUpdated=lt2024-04-09", {"rep-1"}),
        ("signed=2024-03-15", {"rep-1"}),
        ("signed:missing=true", {"rep-2"}),
        ("encounter=1", set()),
        ("identifier=rep_1", {"rep-1"}),
        ("identifier=urn:autoscribe-gateway:report|rep_1", {"rep-1"}),
        ("identifier=|rep_1", set()),
        ("identifier=rep", set()),
    ],
)
def test_tokens_find_what_has_the_code(query, expected):
    assert search(query) == expected


def test_a_study_is_found_by_its_own_numbers():
    assert search("identifier=urn:autoscribe-gateway:study|", "ImagingStudy") == {f"stu-{STUDY}"}
    assert search(f"identifier={UID}", "ImagingStudy") == {f"stu-{STUDY}"}
    assert search("identifier=urn:acc|A1", "ImagingStudy") == {f"stu-{STUDY}"}
    assert search("modality:not=CT", "ImagingStudy") == {"stu-4"}


@pytest.mark.parametrize("written", [f"stu-{STUDY}", f"stu_{STUDY}", f"urn:autoscribe-gateway:study|stu_{STUDY}"])
def test_a_study_is_found_by_the_number_that_autoscribe_gave_it(written):
    assert search(f"identifier={written}", "ImagingStudy") == {f"stu-{STUDY}"}


def test_what_is_no_number_of_autoscribe_is_refused_as_one():
    with pytest.raises(BadRequest, match="expected stu-"):
        search("identifier=urn:autoscribe-gateway:study|1.2.3", "ImagingStudy")


def test_an_identifier_is_found_by_the_type_of_its_number():
    assert search("patient.identifier:of-type=urn:t|MR|0043") == {"rep-2"}
    assert search("patient.identifier:of-type=urn:t|MR|0000") == set()


@pytest.mark.parametrize("value", [f"urn:oid:{UID}", f"urn:dicom:uid|urn:oid:{UID}", f"urn:dicom:uid|{UID}"])
def test_a_study_is_found_by_its_uid_in_every_form_that_clients_use(value):
    assert search(f"identifier={value}", "ImagingStudy") == {f"stu-{STUDY}"}
