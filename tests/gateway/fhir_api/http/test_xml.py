"""https://hl7.org/fhir/R4/xml.html: XML has the content of the JSON in R4's order, as an independent reader finds."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.r4_definitions import Reader, definitions, exact
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.fhir_api.http.formats import FHIR, xml_bytes, xml_of_json
from mappings.fhir.datatypes import json_bytes

GOLDEN = Path(__file__).parents[3] / "golden"
GOLDENS = sorted(GOLDEN.glob("*/fhir/*.json"))
XHTML = "http://www.w3.org/1999/xhtml"
IN_XML = st.characters(
    exclude_categories=["Cs", "Cc"], include_characters="\t\n\r\x7f\x85", exclude_characters="\ufffe\uffff"
)
PATIENT = {"resourceType": "Patient", "active": True, "id": "p1"}
OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "error",
            "code": "not-found",
            "details": {"coding": [{"system": "urn:a", "code": "b"}], "text": "Check the <id> & the type."},
            "diagnostics": "nothing\nhere",
            "expression": ["http._id"],
        }
    ],
}


def entry(resource, **more):
    return {"fullUrl": f"http://127.0.0.1:8800/fhir/{resource['resourceType']}/1", "resource": resource, **more}


def bundle(kind, *entries):
    link = [{"relation": "self", "url": "http://127.0.0.1:8800/fhir/Patient?a=b&c=d"}]
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries), "total": len(entries), "link": link}


ANSWERS = {
    "searchset": bundle(
        "searchset",
        entry(PATIENT, search={"mode": "match", "score": 0.5}),
        entry(OUTCOME, search={"mode": "outcome"}),
    ),
    "empty searchset": {"resourceType": "Bundle", "type": "searchset", "total": 0},
    "history": bundle(
        "history",
        {
            **entry(PATIENT),
            "response": {"etag": 'W/"1"', "lastModified": "2026-01-05T20:30:14.120Z", "status": "200"},
            "request": {"url": "Patient/p1", "method": "PUT"},
        },
    ),
    "batch-response": bundle(
        "batch-response",
        {"resource": bundle("searchset", entry(PATIENT)), "response": {"status": "200 OK"}},
        {"response": {"outcome": OUTCOME, "status": "404 Not Found"}},
    ),
    "outcome": OUTCOME,
    "capabilities": {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "status": "active",
        "software": {"version": "1.0.0", "name": "autoscribe-gateway"},
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "resource": [
                    {
                        "type": "Patient",
                        "operation": [{"name": "everything", "definition": "urn:a"}],
                        "searchParam": [{"type": "token", "name": "_id", "documentation": "The id."}],
                        "searchInclude": ["Patient:organization"],
                        "interaction": [{"code": "read"}, {"code": "vread"}],
                        "readHistory": False,
                    }
                ],
                "interaction": [{"code": "batch"}],
                "searchParam": [{"name": "_count", "type": "number"}],
            }
        ],
    },
    "parameters": {
        "resourceType": "Parameters",
        "parameter": [
            {"resource": PATIENT, "name": "a"},
            {"part": [{"valueDecimal": 1.5, "name": "c"}, {"valueReference": {"display": "e"}}], "name": "b"},
        ],
    },
    "binary": {
        "resourceType": "Binary",
        "data": "AAEC/+8=",
        "securityContext": {"reference": "DiagnosticReport/rep-1"},
        "contentType": "application/pdf",
    },
    "beside primitives": {
        "resourceType": "Patient",
        "_birthDate": {"extension": [{"valueCode": "unknown", "url": "urn:a"}], "id": "b1"},
        "name": [
            {
                "_given": [None, {"extension": [{"url": "urn:a", "valueString": "x"}]}, None],
                "given": ["Ann", None, "Lee"],
                "id": "n1",
            },
            {"given": ["Bo"], "_family": {"extension": [{"url": "urn:a", "valueBoolean": False}]}},
        ],
        "contained": [{"resourceType": "Organization", "name": "Clinic", "id": "o1"}],
        "extension": [{"extension": [{"url": "in", "valuePeriod": {"end": "2026", "start": "2025"}}], "url": "urn:b"}],
        "deceasedBoolean": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def reader(shared):
    return Reader(definitions(shared))


def test_the_reader_sees_what_is_out_of_order_or_missing(reader):
    body = json_bytes({"resourceType": "Patient", "id": "p1", "active": True, "gender": "other"})
    found = xml_of_json(body)
    gender, active = b'<gender value="other"/>', b'<active value="true"/>'
    assert reader.resource(found.replace(gender, b"")) != exact(body)
    with pytest.raises(AssertionError, match="wrong place"):
        reader.resource(found.replace(gender, b"").replace(active, gender + active))


@pytest.mark.parametrize("case", sorted({path.parents[1] for path in GOLDENS}), ids=lambda case: case.name)
def test_every_resource_of_a_golden_case_says_the_same_in_xml(reader, case):
    for path in case.glob("fhir/*.json"):
        body = path.read_bytes()
        assert reader.resource(xml_of_json(body)) == exact(body)
        assert reader.resource(xml_of_json(body, indented=True)) == exact(body)


@pytest.mark.full
def test_all_golden_resources_say_the_same_in_one_bundle(reader):
    assert len(GOLDENS) > 400
    body = json_bytes(bundle("collection", *(entry(json.loads(path.read_bytes())) for path in GOLDENS)))
    assert reader.resource(xml_of_json(body)) == exact(body)


@pytest.mark.parametrize("name", ANSWERS)
def test_every_kind_of_answer_says_the_same_in_xml(reader, name):
    body = json_bytes(ANSWERS[name])
    assert reader.resource(xml_of_json(body)) == exact(body)
    assert reader.resource(xml_bytes(ANSWERS[name])) == exact(body)
    assert xml_bytes(json.loads(body)) == xml_of_json(body)


def test_a_resource_in_xml_looks_as_the_standard_shows_it():
    found = xml_bytes(
        {
            "resourceType": "Observation",
            "status": "final",
            "id": "o1",
            "text": {"div": f'<div xmlns="{XHTML}"><p>a<br/>b</p></div>', "status": "generated"},
            "_issued": {"extension": [{"url": "urn:a", "valueCode": "unknown"}]},
            "component": [{"valueBoolean": True, "id": "c1"}],
        },
        indented=True,
    )
    assert found.decode() == "\n".join(
        [
            "<?xml version='1.0' encoding='UTF-8'?>",
            '<Observation xmlns="http://hl7.org/fhir">',
            '  <id value="o1"/>',
            "  <text>",
            '    <status value="generated"/>',
            f'    <div xmlns="{XHTML}"><p>a<br/>b</p></div>',
            "  </text>",
            '  <status value="final"/>',
            "  <issued>",
            '    <extension url="urn:a">',
            '      <valueCode value="unknown"/>',
            "    </extension>",
            "  </issued>",
            '  <component id="c1">',
            '    <valueBoolean value="true"/>',
            "  </component>",
            "</Observation>",
        ]
    )


def test_a_resource_that_says_nothing_is_one_element():
    for indented in (True, False):
        assert xml_bytes({"resourceType": "Parameters"}, indented=indented).endswith(
            b'<Parameters xmlns="http://hl7.org/fhir"/>'
        )


@pytest.mark.parametrize("number", ["2.50", "0.10", "72", "-1", "1e3", "1.0E-7", "12345678901234567890.123456789"])
def test_a_number_stays_as_it_is_written(number):
    body = b'{"resourceType":"Observation","valueQuantity":{"value":%s}}' % number.encode()
    assert f'<value value="{number}"/>'.encode() in xml_of_json(body)


@pytest.mark.parametrize("instant", ["2026-01-05T20:30:14.120Z", "2026-01-05T20:30:14+00:00", "2026-01-05", "2026"])
def test_an_instant_stays_as_it_is_written(instant):
    found = xml_bytes({"resourceType": "Observation", "effectiveDateTime": instant})
    assert f'<effectiveDateTime value="{instant}"/>'.encode() in found


def test_a_value_without_anything_beside_it_is_not_lost_where_another_has_something():
    name = {"given": ["Ann", "Lee"], "_given": [{"id": "g1"}]}
    found = xml_bytes({"resourceType": "Patient", "name": [name]})
    assert b'<given value="Ann" id="g1"/><given value="Lee"/>' in found


def test_line_breaks_for_a_person_add_nothing_inside_a_narrative():
    div = f'<div xmlns="{XHTML}"><p><b>a</b><i>b</i></p><pre> x\n  y\n</pre></div>'
    found = xml_bytes({"resourceType": "Patient", "text": {"status": "generated", "div": div}}, indented=True)
    assert div.encode() in found


@given(st.text(IN_XML, min_size=1))
def test_any_string_that_xml_can_hold_is_read_back_as_it_was(text):
    found = etree.fromstring(xml_bytes({"resourceType": "Patient", "name": [{"text": text}]}))
    assert found[0][0].get("value") == text


@pytest.mark.parametrize("letter", ["\x00", "\x0b", "\x1f", "\ufffe", "\uffff", "\ud800"])
def test_what_xml_cannot_hold_becomes_the_replacement_character(letter):
    found = etree.fromstring(xml_bytes({"resourceType": "Patient", "name": [{"text": f"a{letter}b"}]}))
    assert found[0][0].get("value") == "a\ufffdb"


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "colour": "blue"},
        {"resourceType": "Meeting", "status": "finished"},
        {"resourceType": "Patient", "extension": [{"url": "urn:a", "valueColour": {"value": 1}}]},
    ],
)
def test_what_r4_does_not_have_is_refused_and_not_left_out(resource):
    with pytest.raises(LookupError):
        xml_bytes(resource)


def test_a_narrative_that_names_an_entity_is_not_resolved():
    div = f'<!DOCTYPE div [<!ENTITY a SYSTEM "file:///etc/hostname">]><div xmlns="{XHTML}">&a;</div>'
    found = xml_bytes({"resourceType": "Patient", "text": {"status": "generated", "div": div}})
    assert b"&a;" in found


def test_threads_make_the_same_xml():
    bodies = [path.read_bytes() for path in GOLDENS[:80]]
    alone = [xml_of_json(body) for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(xml_of_json, bodies * 5)) == alone * 5


def test_every_element_is_in_the_namespace_of_fhir_but_for_the_narrative():
    found = etree.fromstring(xml_of_json(GOLDENS[0].read_bytes()))
    spaces = {element.tag.partition("}")[0] + "}" for element in found.iter()}
    assert spaces == {FHIR, f"{{{XHTML}}}"}
