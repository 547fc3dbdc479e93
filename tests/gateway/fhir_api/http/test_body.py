"""https://hl7.org/fhir/R4/http.html#mime-type"""

import pytest
from starlette.requests import Request

from gateway.fhir_api.http.body import json_body
from gateway.runtime.request_errors import BadRequest, RequestTooLarge, UnsupportedMediaType


def request(*chunks, content_type="application/fhir+json; charset=utf-8"):
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    read = []

    async def receive():
        read.append(messages.pop(0))
        return read[-1]

    made = Request({"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}, receive)
    return made, read


@pytest.mark.parametrize("content_type", ["application/fhir+json", "application/JSON; charset=utf-8", "text/json"])
async def test_it_is_json_in_however_many_pieces(content_type):
    made, _ = request(b'{"a":', b" [1]}", content_type=content_type)
    assert await json_body(made, 100) == {"a": [1]}


async def test_without_a_body_its_type_does_not_matter():
    made, _ = request(content_type="image/png")
    assert await json_body(made, 100) is None


async def test_no_more_is_read_than_the_limit():
    made, read = request(*[b" " * 60] * 5)
    with pytest.raises(RequestTooLarge):
        await json_body(made, 100)
    assert len(read) == 2


@pytest.mark.parametrize("content_type", ["application/fhir+xml", "", "application/x-www-form-urlencoded"])
async def test_another_type_is_refused(content_type):
    made, _ = request(b"{}", content_type=content_type)
    with pytest.raises(UnsupportedMediaType):
        await json_body(made, 100)


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":2}', b"NaN", b"\xff", b"[" * 90_000])
async def test_what_is_no_json_is_refused_and_not_shown(body):
    made, _ = request(body)
    with pytest.raises(BadRequest) as caught:
        await json_body(made, 100_000)
    assert caught.value.detail.startswith("the body: ")
