"""https://hl7.org/fhir/R4/operations.html#request: one meaning, whether it stands in the address or in the body."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.fhir_api.http.query import MAX_VALUE_LENGTH
from gateway.fhir_api.operations.operation_input import formats, inputs, prefers
from gateway.fhir_api.served import Input, Operation
from gateway.index.escaping import alternatives, token
from gateway.runtime.request_errors import BadRequest, NotAcceptable, NotSupported, RequestError, RequestTooLarge

ROW = Operation(
    "try", "", "urn:x", inputs=(Input("patient", "id", "", is_needed=True), Input("type", "Coding", "", most="*"))
)


def request(query="", body=None, accept="*/*", method="POST"):
    sent = b"" if body is None else json.dumps(body).encode()
    headers = [(b"content-type", b"application/fhir+json"), (b"accept", accept.encode())]
    scope = {"type": "http", "method": method, "query_string": query.encode(), "headers": headers}

    async def receive():
        return {"type": "http.request", "body": sent, "more_body": False}

    return Request(scope, receive)


def posted(*rows):
    return {"resourceType": "Parameters", "parameter": list(rows)}


PATIENT = {"name": "patient", "valueId": "pat-1"}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"name": "type", "valueString": "a"}, "a"),
        ({"name": "type", "valueBoolean": True}, "true"),
        ({"name": "type", "valueBoolean": False}, "false"),
        ({"name": "type", "valueInteger": 7}, "7"),
        ({"name": "type", "id": "x", "valueCode": "a"}, "a"),
        ({"name": "type", "valueCoding": {"system": "s", "code": "c"}}, "s|c"),
        ({"name": "type", "valueCoding": {"code": "a,b|c"}}, "a\\,b\\|c"),
        ({"name": "type", "valueCoding": {"system": "s"}}, "s|"),
        ({"name": "type", "valueCodeableConcept": {"coding": [{"code": "a"}, {"system": "s", "code": "b"}]}}, "a,s|b"),
    ],
)
async def test_a_value_of_the_body_is_as_it_stands_in_an_address(row, text):
    assert await inputs(request(body=posted(PATIENT, row)), ROW) == (("patient", "pat-1"), ("type", text))


async def test_address_and_body_are_taken_together_and_a_get_has_no_body():
    found = await inputs(request("patient=a&_format=xml", posted({"name": "type", "valueString": "b"})), ROW)
    assert found == (("patient", "a"), ("_format", "xml"), ("type", "b"))
    assert formats(found) == (("_format", "xml"),)
    assert await inputs(request("patient=a", {"no": "Parameters"}, method="GET"), ROW) == (("patient", "a"),)
    assert await inputs(request("_page=x"), ROW) == (("_page", "x"),)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ([], "Parameters"),
        ({"resourceType": "Patient"}, "Parameters"),
        (posted() | {"parameter": {}}, "Parameters.parameter"),
        (posted(*[PATIENT] * 101), "Parameters.parameter"),
        (posted(PATIENT, 7), "Parameters.parameter[1]"),
        (posted({"valueId": "x"}), "Parameters.parameter[0]"),
        (posted({"name": 7, "valueId": "x"}), "Parameters.parameter[0]"),
        (posted({"name": "patient"}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueId": "x", "valueString": "y"}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "resource": {}}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "part": []}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueDecimal": 1.5}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueId": None}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueId": "a\0b"}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueId": "\ud800"}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueId": "x" * (MAX_VALUE_LENGTH + 1)}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueCoding": "x"}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueCoding": {}}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueCoding": {"code": 7}}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueCodeableConcept": "x"}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueCodeableConcept": {"text": "x"}}), "Parameters.parameter[0]"),
        (posted({"name": "patient", "valueCodeableConcept": {"coding": [7]}}), "Parameters.parameter[0]"),
        (posted(), "http.patient"),
        (posted({"name": "patient", "valueString": ""}), "http.patient"),
        (posted(PATIENT, PATIENT), "http.patient"),
    ],
)
async def test_a_body_that_is_not_that_is_refused_and_says_where(body, place):
    with pytest.raises(BadRequest) as caught:
        await inputs(request(body=body), ROW)
    assert caught.value.expression == place


@pytest.mark.parametrize(("name", "place"), [("colour", "http.colour"), ("a b", ""), ("on-demand", "http.on-demand")])
async def test_a_parameter_that_is_not_known_is_refused(name, place):
    with pytest.raises(NotSupported) as caught:
        await inputs(request("patient=a", posted({"name": name, "valueString": "x"})), ROW)
    assert caught.value.expression == place


async def test_what_would_not_fit_into_a_page_token_is_refused():
    with pytest.raises(RequestTooLarge):
        await inputs(request(body=posted(*[{"name": "type", "valueString": "x" * 3_000}] * 3)), ROW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["name", "valueString", "valueCoding", "valueCodeableConcept", "valueBoolean", "resource"])


@pytest.mark.full
@given(JSON | st.lists(st.dictionaries(NAMES, JSON), max_size=3).map(lambda rows: posted(PATIENT, *rows)))
async def test_whatever_comes_is_read_or_refused(body):
    with contextlib.suppress(RequestError):
        assert all(name and value for name, value in await inputs(request(body=body), ROW))


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
async def test_a_coding_is_read_back_as_it_came(system, code):
    row = {"name": "type", "valueCoding": {"system": system, "code": code}}
    try:
        (_, (_, text)) = await inputs(request(body=posted(PATIENT, row)), ROW)
    except BadRequest:
        assert not (system + code).isprintable()
    else:
        assert alternatives(text) == [text]
        assert token(text) == (system, code)


@pytest.mark.parametrize(
    ("accept", "is_other"),
    [
        ("*/*", False),
        ("application/*", False),
        ("application/fhir+xml, text/plain", False),
        ("text/plain", True),
        ("application/fhir+json;q=0.5, text/plain", True),
        ("image/png, text/plain;q=0.1", True),
    ],
)
def test_the_type_that_the_client_likes_best_counts(accept, is_other):
    assert prefers(request(accept=accept), (), {"text/plain"}) is is_other


def test_format_stands_above_accept():
    assert prefers(request(accept="application/fhir+json"), (("_format", "text/plain"),), {"text/plain"})


def test_a_client_that_takes_none_of_them_is_refused():
    with pytest.raises(NotAcceptable):
        prefers(request(accept="image/png"), (), {"text/plain"})
