"""The parameters of a request, https://url.spec.whatwg.org/#urlencoded-parsing, within limits."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from starlette.requests import Request

from gateway.fhir_api.http.query import (
    FORM,
    MAX_NAME_LENGTH,
    MAX_PAGE_BYTES,
    MAX_PARAMETERS,
    MAX_QUERY_BYTES,
    MAX_VALUE_LENGTH,
    count_of,
    form_parameters,
    parameters,
    value_of,
)
from gateway.runtime.request_errors import BadRequest, RequestTooLarge, UnsupportedMediaType


def asked(query: bytes):
    return parameters(Request({"type": "http", "query_string": query, "headers": []}))


async def posted(*chunks: bytes, content_type: str = FORM):
    left = list(chunks)

    async def receive():
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    headers = [(b"content-type", content_type.encode())]
    return await form_parameters(Request({"type": "http", "headers": headers, "query_string": b""}, receive))


def test_parameters_come_in_their_order_and_those_without_a_value_do_not():
    assert asked(b"b=1&a=2&b=3&c=&d&_has:Provenance:target:recorded=x") == (
        ("b", "1"),
        ("a", "2"),
        ("b", "3"),
        ("_has:Provenance:target:recorded", "x"),
    )
    assert asked(b"") == ()


def test_a_request_made_from_another_has_the_parameters_of_its_own_query():
    batch = {"type": "http", "query_string": b"_format=json", "headers": []}
    assert parameters(Request(batch)) == (("_format", "json"),)
    assert parameters(Request({**batch, "query_string": b"a=1"})) == (("a", "1"),)
    assert parameters(Request({**batch, "query_string": b""})) == ()


def test_what_is_encoded_is_read_as_what_it_stands_for():
    assert asked(b"name=J%C3%B6rg+O%27Neil%26%7C") == (("name", "Jörg O'Neil&|"),)


@pytest.mark.parametrize("text", ["山田　太郎", "نام\u200cدار", "O’Neil\u00a0", "e\u0301", "😀"])
def test_a_name_of_any_script_is_taken(text):
    assert asked(f"name={quote(text)}".encode()) == (("name", text),)


@pytest.mark.parametrize(
    "query",
    [
        b"name=%FF",
        b"name=%C3",
        b"name=%ED%A0%80",
        b"name=\xc3\xb6",
        b"name=a%00b",
        b"name=a%0Ab",
        b"name=a%1Bb",
        b"name=a%7Fb",
        b"name=a%C2%85b",
        b"name=%E2%80%A8",
        b"=a",
        b"na%20me=a",
        b"n%C3%A4me=a",
        b"../name=a",
        b"a=1&" * MAX_PARAMETERS + b"a=1",
        b"a" * (MAX_NAME_LENGTH + 1) + b"=1",
        b"a=" + b"1" * (MAX_VALUE_LENGTH + 1),
        b"&".join([b"a=" + b"1" * (MAX_VALUE_LENGTH - 2)] * 3),
    ],
)
async def test_what_is_malformed_or_over_a_limit_is_refused_in_an_address_and_in_a_form(query):
    with pytest.raises(BadRequest) as refused:
        asked(query)
    assert "1111" not in str(refused.value)
    if len(query) <= MAX_PAGE_BYTES:
        with pytest.raises(BadRequest):
            await posted(query)


def test_what_is_at_the_limits_is_taken():
    value = b"1" * MAX_VALUE_LENGTH
    assert len(asked(b"a=" + value)) == 1
    assert len(asked(b"&".join([b"a=1"] * MAX_PARAMETERS))) == MAX_PARAMETERS
    assert len(asked(b"a" * MAX_NAME_LENGTH + b"=1")) == 1
    assert len(b"a=" + value + b"&b=" + value[: MAX_QUERY_BYTES - MAX_VALUE_LENGTH - 5]) == MAX_QUERY_BYTES
    assert len(asked(b"a=" + value + b"&b=" + value[: MAX_QUERY_BYTES - MAX_VALUE_LENGTH - 5])) == 2


def test_a_page_token_may_be_longer_than_any_value():
    token = b"A" * (MAX_PAGE_BYTES - 6)
    assert asked(b"_page=" + token) == (("_page", token.decode()),)
    with pytest.raises(BadRequest):
        asked(b"_page=A" + token)


async def test_a_form_is_read_in_whatever_pieces_it_comes():
    assert await posted(b"a=1&b", b"=2", content_type=f"{FORM}; charset=UTF-8") == (("a", "1"), ("b", "2"))
    assert await posted(b"", content_type="text/plain") == ()


async def test_a_body_that_is_no_form_or_too_long_is_refused():
    with pytest.raises(UnsupportedMediaType):
        await posted(b"{}", content_type="application/json")
    with pytest.raises(RequestTooLarge):
        await posted(b"a" * MAX_PAGE_BYTES, b"a", b"never read")


def test_of_a_parameter_with_one_value_the_last_counts():
    given = (("a", "1"), ("b", "2"), ("a", "3"))
    assert (value_of(given, "a"), value_of(given, "c")) == ("3", None)


@pytest.mark.parametrize(
    ("value", "count"),
    [(None, 50), ("0", 0), ("1", 1), ("499", 499), ("500", 500), ("501", 500), ("999999999", 500)],
)
def test_a_page_has_fifty_matches_unless_a_size_up_to_five_hundred_is_asked(value, count):
    assert count_of(() if value is None else (("_count", value),)) == count


@pytest.mark.parametrize("value", ["-1", "1.5", "ten", "1234567890", "٣", ""])
def test_a_page_size_that_is_no_whole_number_of_nine_digits_is_refused(value):
    with pytest.raises(BadRequest) as refused:
        count_of((("_count", value),))
    assert refused.value.expression == "http._count"
