"""Values of one field or element, by its name in a trace."""

from __future__ import annotations

import pytest

from mappings.trace.outputs import element_names, element_values, field_names, field_values, is_at, is_element, is_field

MESSAGE = (
    b"MSH|^~\\&|GW|A|EHR|B|20260105||ORU^R01^ORU_R01|ID1|P|2.5.1\rPID|1||00042^^^CITY^MR||DOE^JANE\r"
    b"OBX|1|TX|59776-5||line one||||||F\rOBX|2|NM|8302-2^Height||170||||||F\rOBX|3|ED|PDF||^^^Base64^JVBE||||||F\r"
)
RESOURCE = {
    "resourceType": "DiagnosticReport",
    "id": "rep-1",
    "text": {"status": "generated", "div": "<div/>"},
    "status": "final",
    "conclusion": "None.",
    "code": {"coding": [{"code": "18748-4"}], "text": "CT"},
    "extension": [{"url": "http://example.org/critical", "valueBoolean": True}],
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("PID-5", ("DOE^JANE",)),
        ("PID-5.1", ("DOE",)),
        ("PID-5.9", ()),
        ("PID-30", ()),
        ("MSH-10", ("ID1",)),
        ("OBX-11", ("F", "F", "F")),
        ("OBX(8302-2)-5", ("170",)),
        ("OBX(PDF)-5.4", ("Base64",)),
        ("Patient.name", ()),
    ],
)
def test_a_field_has_a_value_for_each_segment(name, values):
    assert field_values(MESSAGE, name) == values


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("DiagnosticReport.conclusion", ("None.",)),
        ("DiagnosticReport.code", ("coding.code: 18748-4", "text: CT")),
        ("DiagnosticReport.extension", ("(critical).valueBoolean: true",)),
        ("DiagnosticReport.con", ()),
    ],
)
def test_an_element_has_all_that_stands_within_it(name, values):
    assert element_values(RESOURCE, name) == values


@pytest.mark.parametrize(
    ("target", "name", "found"),
    [
        ("PID-5", "PID-5", True),
        ("PID-50", "PID-5", False),
        ("OBX(8302-2)-5", "OBX-5", True),
        ("OBX(8302-2)-5", "OBX(PDF)-5", False),
        ("Patient.name.family", "Patient.name", True),
        ("Patient.nameless", "Patient.name", False),
        ("Patient", "Patient.name", False),
    ],
)
def test_a_target_is_at_a_name_or_within_it(target, name, found):
    assert is_at(target, name) is found


@pytest.mark.parametrize("name", ["PID-5", "PID-5.1", "OBX(PDF)-5", "ZDS-1"])
def test_fields_have_names_of_one_form(name):
    assert (is_field(name), is_element(name)) == (True, False)


@pytest.mark.parametrize("name", ["Patient.name", "DiagnosticReport.extension(critical).valueBoolean"])
def test_elements_have_names_of_another(name):
    assert (is_field(name), is_element(name)) == (False, True)


@pytest.mark.parametrize("name", ["Jane Doe", "patient.name", "PID5", "Patient", "PID-5.1.2"])
def test_anything_else_is_neither(name):
    assert (is_field(name), is_element(name)) == (False, False)


def test_what_has_a_value_is_listed_by_name():
    assert [*dict.fromkeys(field_names(MESSAGE))][-3:] == ["OBX(PDF)-3", "OBX(PDF)-5", "OBX(PDF)-11"]
    assert [*element_names(RESOURCE)] == [
        "DiagnosticReport.id",
        "DiagnosticReport.status",
        "DiagnosticReport.conclusion",
        "DiagnosticReport.code.coding.code",
        "DiagnosticReport.code.text",
        "DiagnosticReport.extension(critical).valueBoolean",
    ]
