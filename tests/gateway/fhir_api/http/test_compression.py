"""RFC 9110 §12.5.3 and §8.4: gzip where it is taken and worth it, and nothing else touched."""

import gzip

import httpx
import pytest
from starlette.responses import Response, StreamingResponse

from gateway.fhir_api.http.compression import LARGE, SMALLEST, TYPES, Compressed

BODY = b'{"resourceType":"Bundle"}' * 100
JSON = "application/fhir+json; charset=utf-8"
GZIP = {"Accept-Encoding": "gzip"}


async def answered(app, headers=GZIP, method="GET"):
    """Return a client's answer as sent over the wire, not decoded."""
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(Compressed(app)), base_url="http://localhost") as client,
        client.stream(method, "/", headers={"Accept-Encoding": "identity", **headers}) as response,
    ):
        return response, b"".join([chunk async for chunk in response.aiter_raw()])


@pytest.mark.parametrize("media_type", [*sorted(TYPES), JSON])
@pytest.mark.parametrize("size", [SMALLEST, LARGE - 1, LARGE, 3 * LARGE])
async def test_a_body_that_is_worth_it_is_compressed_and_says_so(media_type, size):
    body = (BODY * (size // len(BODY) + 1))[:size]
    response, raw = await answered(Response(body, 200, {"ETag": 'W/"v1"', "Vary": "Accept"}, media_type=media_type))
    assert gzip.decompress(raw) == body
    assert len(raw) < len(body) / 2
    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) == len(raw)
    assert (response.headers["vary"], response.headers["etag"]) == ("Accept, Accept-Encoding", 'W/"v1"')


async def test_an_error_is_compressed_too_and_the_same_bytes_give_the_same_bytes():
    first, raw = await answered(Response(BODY, 400, media_type=JSON))
    _, again = await answered(Response(BODY, 400, media_type=JSON))
    assert (first.status_code, raw) == (400, again)


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip ; q=1.0, identity; q=0.5", True),
        ("*", True),
        ("*;q=0.1", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=1.2.3", False),
        ("identity", False),
        ("br", False),
        ("xgzip", False),
        ("", False),
    ],
)
async def test_gzip_is_for_who_takes_it(header, takes):
    response, raw = await answered(Response(BODY, media_type=JSON), {"Accept-Encoding": header})
    assert ("content-encoding" in response.headers) is takes
    assert (raw != BODY) is takes
    assert response.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accept", [GZIP, {}])
async def test_a_small_body_is_left_as_it_is(accept):
    response, raw = await answered(Response(BODY[: SMALLEST - 1], media_type=JSON), accept)
    assert (raw, "content-encoding" in response.headers) == (BODY[: SMALLEST - 1], False)
    assert response.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("media_type", ["application/pdf", "text/plain; charset=utf-8", "text/html", None])
async def test_other_types_are_not_touched(media_type):
    plain = Response(BODY, media_type=media_type)
    headers = list(plain.raw_headers)
    response, raw = await answered(plain)
    assert (raw, response.headers.raw) == (BODY, headers)


async def test_what_is_compressed_already_or_a_part_is_not_touched():
    packed = gzip.compress(BODY)
    for status, headers in ((200, {"Content-Encoding": "br"}), (206, {"Content-Range": "bytes 0-9/10"})):
        response, raw = await answered(Response(packed, status, headers, media_type=JSON))
        assert (raw, "vary" in response.headers) == (packed, False)


@pytest.mark.parametrize("media_type", ["application/pdf", JSON])
async def test_a_stream_passes_chunk_by_chunk(media_type):
    """Each chunk is sent before the next is read, so nothing is buffered."""
    out, order = [], []

    async def chunks():
        for number in range(3):
            order.append(f"made {number}")
            yield BODY

    async def send(message):
        out.append(message)
        if message.get("body"):
            order.append("sent")

    scope = {
        "type": "http",
        "method": "GET",
        "headers": [(b"accept-encoding", b"gzip")],
        "asgi": {"spec_version": "2.4"},
    }
    await Compressed(StreamingResponse(chunks(), media_type=media_type))(scope, None, send)
    assert order == ["made 0", "sent", "made 1", "sent", "made 2", "sent"]
    assert [message["type"] for message in out] == ["http.response.start", *["http.response.body"] * 4]
    assert b"".join(message.get("body", b"") for message in out) == BODY * 3
    assert b"content-encoding" not in dict(out[0]["headers"])


async def test_head_says_what_get_says_but_for_the_length():
    def app():
        async def answer(scope, receive, send):
            body = b"" if scope["method"] == "HEAD" else BODY
            headers = {"Content-Length": str(len(BODY)), "ETag": '"v1"'}
            await Response(body, 200, headers, media_type=JSON)(scope, receive, send)

        return answer

    got, _ = await answered(app())
    head, raw = await answered(app(), method="HEAD")
    assert {**head.headers, "content-length": got.headers["content-length"]} == dict(got.headers)
    assert (raw, head.headers["content-encoding"], "content-length" in head.headers) == (b"", "gzip", False)
    plain, _ = await answered(app(), {}, method="HEAD")
    assert int(plain.headers["content-length"]) == len(BODY)


async def test_head_of_a_small_answer_keeps_its_length():
    small = Response(b"", 200, {"Content-Length": str(SMALLEST - 1)}, media_type=JSON)
    response, _ = await answered(small, method="HEAD")
    assert (int(response.headers["content-length"]), "content-encoding" in response.headers) == (SMALLEST - 1, False)


async def test_a_304_says_that_the_answer_may_come_in_another_coding():
    response, raw = await answered(Response(None, 304, {"ETag": 'W/"v1"', "Vary": "Accept"}))
    assert (response.status_code, raw, response.headers["vary"]) == (304, b"", "Accept, Accept-Encoding")
    assert "content-encoding" not in response.headers


async def test_the_tag_of_other_bytes_becomes_a_weak_one():
    response, _ = await answered(Response(BODY, 200, {"ETag": '"v1"'}, media_type=JSON))
    assert response.headers["etag"] == 'W/"v1"'
    response, _ = await answered(Response(BODY, 200, {"ETag": '"v1"'}, media_type=JSON), {})
    assert response.headers["etag"] == '"v1"'


async def test_what_is_no_request_is_passed_on():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    await Compressed(app)({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
