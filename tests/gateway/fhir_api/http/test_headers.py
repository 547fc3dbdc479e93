"""https://hl7.org/fhir/R4/http.html#cread, #mime-type, RFC 9110 §13.1.2 and §13.1.3."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.fhir_api.http import headers
from gateway.fhir_api.http.headers import (
    Format,
    accepted,
    etag,
    fhir_answer,
    fhir_conditional,
    is_strict,
    is_unchanged,
    matches,
    negotiated,
)
from gateway.runtime.request_errors import NotAcceptable

BODY = b'{"resourceType":"Patient","id":"p1"}'
CHANGED = datetime(2026, 1, 5, 20, 30, 14, 900_000, tzinfo=UTC)
VALIDATORS = etag("v1", CHANGED)
JSON_TYPE, XML_TYPE = "application/fhir+json; charset=utf-8", "application/fhir+xml; charset=utf-8"


def request(*headers, method="GET"):
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "method": method, "headers": raw, "query_string": b""})


def test_the_parameter_stands_above_the_header():
    wants_xml = request(("Accept", "application/fhir+xml"))
    assert negotiated(wants_xml, ()) is Format.XML
    assert negotiated(wants_xml, (("_format", "json"),)) is Format.JSON
    assert negotiated(request(), ()) is Format.JSON


def test_accept_may_be_sent_in_several_lines():
    lines = request(("Accept", "image/png"), ("Accept", "application/fhir+xml;q=0.5"))
    assert negotiated(lines, ()) is Format.XML
    assert accepted(lines, ()) == ["image/png", "application/fhir+xml"]


def test_who_takes_neither_format_is_refused():
    with pytest.raises(NotAcceptable, match=r"of FHIR 4\.0"):
        negotiated(request(("Accept", "application/fhir+json; fhirVersion=5.0")), ())
    with pytest.raises(NotAcceptable):
        negotiated(request(), (("_format", "html"),))


def test_what_is_accepted_is_listed_best_first_without_what_is_refused():
    header = "application/pdf;q=0.5, Text/Plain, image/png;q=0, application/fhir+json;q=0.8"
    assert accepted(request(("Accept", header)), ()) == ["text/plain", "application/fhir+json", "application/pdf"]
    assert accepted(request(), ()) == ["*/*"]


@pytest.mark.parametrize(
    ("prefer", "strict"),
    [("handling=strict", True), ('Handling="strict"', True), ("return=minimal, handling = strict", True), ("", False)],
)
def test_strict_handling_is_a_preference(prefer, strict):
    assert is_strict(request(("Prefer", prefer))) is strict


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('W/"v1"', True),
        ('"v1"', True),
        ('"a", W/"v1", "b"', True),
        ("*", True),
        (" * ", True),
        ('W/"v2"', False),
        ("v1", False),
        ("", False),
    ],
)
def test_an_entity_tag_is_compared_weakly(header, found):
    assert matches(request(("If-None-Match", header)), 'W/"v1"') is found


def test_entity_tags_may_be_sent_in_several_lines():
    assert matches(request(("If-None-Match", '"v0"'), ("If-None-Match", '"v1"')), 'W/"v1"')


@pytest.mark.parametrize(
    ("since", "unchanged"),
    [
        ("Mon, 05 Jan 2026 20:30:14 GMT", True),
        ("Mon, 05 Jan 2026 20:30:15 GMT", True),
        ("Mon, 05 Jan 2026 20:30:13 GMT", False),
        ("Monday, 05-Jan-26 20:30:14 GMT", True),
        ("Mon Jan  5 20:30:14 2026", True),
        ("Mon Jan  5 20:30:13 2026", False),
        ("2026-01-05T20:30:14Z", False),
        ("yesterday", False),
        ("Mon, 05 Jan 2026 20:30:14 +99999999999999999999", False),
        ("Mon, 05 Jan 99999999999999 20:30:14 GMT", False),
        ("Mon, 99 Jan 2026 20:30:14 GMT", False),
        ("", False),
    ],
)
def test_a_date_counts_whole_seconds_and_one_that_is_none_says_nothing(since, unchanged):
    assert is_unchanged(request(("If-Modified-Since", since)), VALIDATORS) is unchanged


@pytest.mark.parametrize(("tag", "unchanged"), [('"v1"', True), ('"v0"', False), ("", False)])
@pytest.mark.parametrize("since", ["Mon, 05 Jan 2026 20:30:14 GMT", "Mon, 05 Jan 2026 20:30:13 GMT"])
def test_the_entity_tag_stands_above_the_date(tag, since, unchanged):
    both = request(("If-Modified-Since", since), ("If-None-Match", tag))
    assert is_unchanged(both, VALIDATORS) is unchanged


def test_where_no_date_is_known_only_the_entity_tag_counts():
    assert not is_unchanged(request(("If-Modified-Since", "Mon, 05 Jan 2026 20:30:14 GMT")), etag("v1"))
    assert not is_unchanged(request(), VALIDATORS)


@given(st.text(st.characters(codec="latin-1")))
@example("Mon, 05 Jan 2026 20:30:14 +9999999999999")
@example("0 0 0 0:0 0")
def test_no_date_that_a_client_can_send_breaks_the_answer(since):
    assert is_unchanged(request(("If-Modified-Since", since)), VALIDATORS) in {True, False}


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), st.integers(-5, 5))  # noqa: DTZ001
def test_who_sends_back_the_date_it_was_told_has_the_version(changed, seconds):
    validators = etag("v1", changed)
    later = etag("v1", changed + timedelta(seconds=seconds))["Last-Modified"]
    assert is_unchanged(request(("If-Modified-Since", later)), validators) is (seconds >= 0)


async def test_a_304_has_the_validators_and_no_body():
    response = await fhir_conditional(request(("If-None-Match", "*")), (), BODY, VALIDATORS)
    assert (response.status_code, response.body) == (304, b"")
    assert (response.headers["etag"], response.headers["vary"]) == ('W/"v1"', "Accept")
    assert response.headers["last-modified"] == "Mon, 05 Jan 2026 20:30:14 GMT"


async def test_json_goes_out_as_it_stands():
    response = await fhir_answer(request(), (), BODY, 201, headers={"Location": "x"})
    assert (response.status_code, response.body, response.headers["location"]) == (201, BODY, "x")
    assert (response.headers["content-type"], response.headers["vary"]) == (JSON_TYPE, "Accept")


@pytest.mark.parametrize(("length", "name"), [(headers.LARGE, "computed"), (headers.LARGE + 1, "computed_apart")])
async def test_a_large_answer_is_converted_apart_from_the_small_ones_of_others(monkeypatch, length, name):
    body = b'{"resourceType":"Patient","id":"' + b"x" * (length - 34) + b'"}'
    used = []

    def noted(how):
        async def run(function, *given):
            used.append(how)
            return function(*given)

        return run

    for how in ("computed", "computed_apart"):
        monkeypatch.setattr(headers, how, noted(how))
    response = await fhir_answer(request(("Accept", "application/fhir+xml")), (), body)
    assert (len(body), used, response.headers["content-type"]) == (length, [name], XML_TYPE)


async def test_xml_goes_out_where_it_is_asked_for():
    response = await fhir_answer(request(("Accept", "application/fhir+xml")), (), BODY)
    assert response.body.endswith(b'<Patient xmlns="http://hl7.org/fhir"><id value="p1"/></Patient>')
    assert (response.headers["content-type"], response.headers["vary"]) == (XML_TYPE, "Accept")
    assert int(response.headers["content-length"]) == len(response.body)


async def test_both_formats_are_written_for_a_person_where_that_is_asked_for():
    in_json = await fhir_answer(request(), (("_pretty", "true"),), BODY)
    in_xml = await fhir_answer(request(), (("_pretty", "true"), ("_format", "xml")), BODY)
    assert json.loads(in_json.body) == json.loads(BODY)
    assert in_json.body.count(b"\n") == 3
    assert in_xml.body.count(b"\n") == 3


async def test_head_says_what_get_says_without_the_body():
    for accept in ("application/fhir+json", "application/fhir+xml"):
        got = await fhir_conditional(request(("Accept", accept)), (), BODY, VALIDATORS)
        head = await fhir_conditional(request(("Accept", accept), method="HEAD"), (), BODY, VALIDATORS)
        assert (head.headers, head.body) == (got.headers, b"")
        assert int(got.headers["content-length"]) == len(got.body)


@pytest.mark.parametrize("accept", ["application/fhir+json", "application/fhir+xml"])
async def test_who_has_the_version_gets_no_body_in_either_format(accept):
    has_it = request(("Accept", accept), ("If-None-Match", 'W/"v1"'))
    response = await fhir_conditional(has_it, (), BODY, VALIDATORS)
    assert (response.status_code, response.body, response.headers["etag"]) == (304, b"", 'W/"v1"')
    has_another = request(("Accept", accept), ("If-None-Match", 'W/"v0"'))
    assert (await fhir_conditional(has_another, (), BODY, VALIDATORS)).headers["etag"] == 'W/"v1"'


async def test_who_takes_neither_format_gets_no_answer():
    with pytest.raises(NotAcceptable):
        await fhir_answer(request(("Accept", "image/png")), (), BODY)
