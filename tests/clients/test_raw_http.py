"""The gateway as a process on a socket, byte for byte: connections that stay, pipelines, HEAD, gzip, ranges.

RFC 9110 §9.3.2 (HEAD), §10.1.1 (Expect), §14 (ranges), RFC 9112 §3.2 (Host), §7.1 (chunks), §9.3 (persistence).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from clients.account import REPORTS, pdf_of, signed_alone
from clients.connection import Connection, connection
from clients.processes import Running

pytestmark = pytest.mark.timeout(400)
ONE = min(signed_alone())
REPORT = f"/fhir/DiagnosticReport/{ONE}"
PDF, TEXT = f"/fhir/Binary/{ONE}-pdf", f"/fhir/Binary/{ONE}-text"
SEARCH = "/fhir/DiagnosticReport?_lastUpdated=ge2000&_count=5"
FORM = "application/x-www-form-urlencoded"
PATHS = (REPORT, SEARCH, "/fhir/metadata", PDF, TEXT, f"{REPORT}/_history", "/livez")


@pytest.fixture
def line(gateway: Running) -> Iterator[Connection]:
    with connection(gateway.fhir_base) as found:
        yield found


def test_a_connection_serves_one_request_after_another(line: Connection) -> None:
    for _ in range(3):
        for path in PATHS:
            assert line.get(path).status == 200


def test_requests_that_come_at_one_go_are_answered_in_their_order(line: Connection) -> None:
    ids = sorted(REPORTS)[:30]
    line.send(*(line.request("GET", f"/fhir/DiagnosticReport/{one}") for one in ids))
    assert [json.loads(line.answer().body)["id"] for _ in ids] == ids


def test_an_error_costs_nobody_the_connection(line: Connection) -> None:
    line.send(
        line.request("GET", "/fhir/DiagnosticReport/unknown"),
        line.request("POST", "/fhir/Patient", b'{"resourceType":"Patient"}', Content_Type="application/fhir+json"),
        line.request("GET", "/fhir/metadata", Accept="text/turtle"),
        line.request("DELETE", REPORT),
        line.request("GET", REPORT),
    )
    answers = [line.answer() for _ in range(5)]
    assert [one.status for one in answers] == [404, 405, 406, 405, 200]
    assert {json.loads(one.body)["resourceType"] for one in answers[:4]} == {"OperationOutcome"}


@pytest.mark.parametrize("path", [*PATHS, "/fhir/DiagnosticReport/unknown", "/fhir/nothing"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_head_says_what_a_get_would_and_sends_no_body(line: Connection, path: str, encoding: str) -> None:
    line.send(*(line.request(method, path, Accept_Encoding=encoding) for method in ("HEAD", "GET", "HEAD", "GET")))
    for method, other in (("HEAD", "GET"), ("HEAD", "GET")):
        head, got = line.answer(method), line.answer(other)
        assert (head.status, _lasting(head.headers)) == (got.status, _lasting(got.headers))
        if path != SEARCH and "content-encoding" not in head.headers:
            assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.body))


def _lasting(headers: dict[str, str]) -> dict[str, str]:
    """Return the stable parts of an answer, without page links and length."""
    return {name: value for name, value in headers.items() if name not in CHANGING}


CHANGING = ("date", "age", "x-request-id", "content-length")


@pytest.mark.parametrize("path", [REPORT, SEARCH, "/fhir/metadata", f"{REPORT}?_format=xml"])
def test_what_is_compressed_is_the_same_with_the_same_tag(line: Connection, path: str) -> None:
    plain, packed = line.get(path), line.get(path, Accept_Encoding="br;q=1, gzip;q=0.8")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    assert packed.headers.get("etag") == plain.headers.get("etag")
    if path != SEARCH:  # the links of its pages differ from one answer to the next
        assert gzip.decompress(packed.body) == plain.body
    else:
        assert json.loads(gzip.decompress(packed.body))["entry"] == json.loads(plain.body)["entry"]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("path", [REPORT, PDF, TEXT, "/fhir/metadata"])
def test_what_the_client_has_is_not_sent_again(line: Connection, path: str, encoding: str) -> None:
    tag = line.get(path, Accept_Encoding=encoding).headers["etag"]
    line.send(
        line.request("GET", path, Accept_Encoding=encoding, If_None_Match=tag),
        line.request("GET", path, Accept_Encoding=encoding, If_None_Match='"another"'),
    )
    same, other = line.answer(), line.answer()
    assert (same.status, same.headers["etag"], other.status) == (304, tag, 200)


def test_a_pdf_that_broke_off_is_fetched_on_from_there(line: Connection, gateway: Running) -> None:
    whole = line.get(PDF, Accept="application/pdf")
    first = line.get(PDF, Accept="application/pdf", Range="bytes=0-99")
    rest = line.get(PDF, Accept="application/pdf", Range="bytes=100-", If_Range=whole.headers["etag"])
    assert (first.status, rest.status) == (206, 206)
    assert first.body + rest.body == whole.body == pdf_of(gateway.upstream, ONE)
    assert whole.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("kind", [PDF, TEXT])
def test_a_browser_gets_the_bytes_and_a_fhir_client_the_resource(line: Connection, kind: str) -> None:
    browser = line.get(kind, Accept="text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    resource = line.get(kind, Accept="application/fhir+json")
    assert browser.headers["content-type"] == json.loads(resource.body)["contentType"]
    assert resource.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert "DiagnosticReport" not in browser.headers["content-disposition"]


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/fhir+xml", "xml"),
        ("application/fhir+json; fhirVersion=4.0", "json"),
        ("application/xml;q=0.5, application/json;q=0.9", "json"),
    ],
)
def test_a_report_comes_in_the_format_that_is_asked_for(line: Connection, accept: str, found: str) -> None:
    answer = line.get(REPORT, Accept=accept)
    assert answer.headers["content-type"] == f"application/fhir+{found}; charset=utf-8"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


def test_a_search_is_posted_in_chunks_and_by_a_client_that_waits_to_be_told_to(line: Connection) -> None:
    body = b"_id=" + ONE.encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:4], body[4:])) + b"0\r\n\r\n"
    path = "/fhir/DiagnosticReport/_search"
    line.send(line.request("POST", path, Content_Type=FORM, Transfer_Encoding="chunked"), chunks)
    chunked = line.answer()
    line.send(line.request("POST", path, Content_Type=FORM, Content_Length=str(len(body)), Expect="100-continue"))
    told = line.answer()
    line.send(body)
    for answer in (chunked, line.answer()):
        assert json.loads(answer.body)["entry"][0]["resource"]["id"] == ONE
    assert told.status == 100


@pytest.mark.parametrize("path", [REPORT, PDF])
def test_a_client_that_wants_to_go_is_let_go(line: Connection, path: str) -> None:
    assert line.get(path, Connection="close").status == 200
    assert line.is_closed()


def test_a_client_of_http_1_0_is_answered_and_let_go(line: Connection) -> None:
    line.send(f"GET {REPORT} HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert json.loads(line.answer().body)["id"] == ONE
    assert line.is_closed()


@pytest.mark.parametrize("hosts", ["", "Host: localhost\r\nHost: localhost\r\n"])
def test_a_request_that_does_not_name_one_host_is_malformed(line: Connection, hosts: str) -> None:
    line.send(f"GET {REPORT} HTTP/1.1\r\n{hosts}\r\n")
    assert line.answer().status == 400


def test_the_links_of_a_page_name_the_host_that_was_asked(line: Connection, gateway: Running) -> None:
    """A client that reached the gateway as `localhost` goes on as `localhost`."""
    host = f"localhost:{urlsplit(gateway.fhir_base).port}"
    bundle = json.loads(line.get(SEARCH, Host=host).body)
    urls = [one["url"] for one in bundle["link"]] + [one["fullUrl"] for one in bundle["entry"]]
    assert all(one.startswith((f"http://{host}/fhir/", "urn:uuid:")) for one in urls)
    following = next(one["url"] for one in bundle["link"] if one["relation"] == "next")
    assert line.get(following.removeprefix(f"http://{host}"), Host=host).status == 200
