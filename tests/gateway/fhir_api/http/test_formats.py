"""https://hl7.org/fhir/R4/http.html#mime-type, RFC 9110 §12.5.1."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.fhir_api.http.formats import FHIR_JSON, FHIR_XML, Format, asked, in_format, preferred

JSON, XML = Format.JSON, Format.XML
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", JSON),
        (" ", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        *((one, JSON) for one in sorted(FHIR_JSON)),
        *((one, XML) for one in sorted(FHIR_XML)),
        ("Application/FHIR+XML", XML),
        ("application/fhir+xml, application/fhir+json", XML),
        ("application/fhir+json, application/fhir+xml", JSON),
        ("application/fhir+xml;q=0.9, application/fhir+json", JSON),
        ("application/fhir+json;q=0.5,application/fhir+xml;q=0.6", XML),
        ("application/fhir+json ; q=0.5 , application/xml ; q=0.6", XML),
        ("application/fhir+json;q=0.5, */*", XML),
        ("application/fhir+json;q=0.5, */*;q=0.1", JSON),
        ("*/*, application/fhir+json;q=0", XML),
        ("application/*;q=0.2, */*;q=0.9, application/fhir+xml;q=0.3", XML),
        ("application/json;q=0.1, application/fhir+json;q=0.9, text/xml;q=0.5", JSON),
        ("text/html, */*;q=0.1", JSON),
        (BROWSER, XML),
        ("image/png", None),
        ("text/*", None),
        ("application/fhir+turtle, application/rdf+xml", None),
        ("application/fhir+json;q=0", None),
        ("*/*;q=0", None),
        ("application/fhir+json;q=x", None),
        ("application/fhir+json;q=nan", None),
        ("application/fhir+json;q=2", None),
        ("application/fhir+json;q=-1, application/fhir+xml;q=0.1", XML),
        ("application/fhir+json; fhirVersion=4.0", JSON),
        ('application/fhir+xml; fhirVersion="4.0"', XML),
        ('application/fhir+xml; fhirVersion = "4.0.1"', XML),
        ('application/fhir+xml; fhirVersion="4.01"', None),
        ("application/fhir+xml; fhirVersion=4.0; charset=utf-8; q=1.0", XML),
        ("application/fhir+json; fhirVersion=3.0", None),
        ("application/fhir+json; fhirVersion=4.3", None),
        ("application/fhir+json;FHIRVERSION=5.0, application/fhir+xml", XML),
        (",,", None),
    ],
)
def test_the_format_is_the_one_that_accept_likes_best(accept, form):
    assert preferred(accept, None) is form


@pytest.mark.parametrize(
    ("wanted", "form"),
    [
        *((one, JSON) for one in sorted(FHIR_JSON)),
        *((one, XML) for one in sorted(FHIR_XML)),
        ("application/fhir json", JSON),
        ("application/fhir xml", XML),
        ("application/fhir+xml; fhirVersion=4.0", XML),
        ("application/fhir+xml; fhirVersion=3.0", None),
        ("XML", XML),
        ("*/*", JSON),
        ("html", None),
        ("text/html", None),
        ("json,xml", None),
    ],
)
def test_the_parameter_stands_above_accept(wanted, form):
    for accept in ("application/fhir+json", "application/fhir+xml", "image/png", ""):
        assert preferred(accept, wanted) is form


@pytest.mark.parametrize(
    ("query", "accept", "form"),
    [
        (b"", [], JSON),
        (b"", [b"application/fhir+xml"], XML),
        (b"", [b"text/html", b"application/fhir+xml"], XML),
        (b"", [b"image/png"], JSON),
        (b"_format=xml", [], XML),
        (b"a=b&_format=application/fhir%2Bxml&c=d", [], XML),
        (b"_format=application/fhir+xml", [], XML),
        (b"_format=xml&_format=json", [b"application/fhir+xml"], JSON),
        (b"_format=", [b"application/fhir+xml"], XML),
        (b"_format=html", [b"application/fhir+xml"], JSON),
        (b"x_format=xml", [], JSON),
        (b"_format=%ff%fe", [b"\xff"], JSON),
        (b"_format=" + b"x" * 20_000, [], JSON),
    ],
)
def test_what_a_request_asked_for_is_seen_though_it_may_be_malformed(query, accept, form):
    headers = [(b"host", b"localhost"), *((b"accept", one) for one in accept)]
    assert asked({"query_string": query, "headers": headers}) is form


def test_a_scope_without_a_query_asks_by_its_headers():
    assert asked({"headers": []}) is JSON


@pytest.mark.full
@given(st.text(st.characters(codec="latin-1")), st.none() | st.text(min_size=1))
@example("application/fhir+json;q=1e999", None)
@example(";;q=;", ";")
def test_no_header_or_parameter_breaks_the_choice(accept, wanted):
    assert preferred(accept, wanted) in {JSON, XML, None}
    assert asked({"headers": [(b"accept", accept.encode("latin-1"))], "query_string": b""}) in {JSON, XML}


def test_json_is_passed_on_as_it_stands_and_xml_is_made_of_it():
    body = b'{"resourceType":"Patient","id":"\xc3\xa9"}'
    assert in_format(body, JSON) is body
    assert in_format(body, JSON, indented=True) == '{\n  "resourceType": "Patient",\n  "id": "é"\n}'.encode()
    assert in_format(body, XML).endswith('<Patient xmlns="http://hl7.org/fhir"><id value="é"/></Patient>'.encode())
    assert b"\n  <id " in in_format(body, XML, indented=True)
    assert json.loads(in_format(body, JSON, indented=True)) == json.loads(body)
