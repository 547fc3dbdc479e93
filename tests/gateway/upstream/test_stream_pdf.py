import gzip
import logging
import ssl

import pytest
import trustme
from fakes import documents
from fakes.bombs import bombing, memory_stays
from fakes.documents import REPORT_ID
from fakes.scripted_server import Reply, ScriptedServer

from gateway.runtime.errors import PdfInterrupted, PdfUnavailable
from gateway.settings import Pdf
from gateway.upstream.pdf_stream import AllowedHosts

PDF = b"%PDF-1.7\n" + b"x" * 3000
TOKEN = "abc123-CANARY"


@pytest.fixture
async def storage():
    async with ScriptedServer([Reply(body=PDF)]) as running:
        yield running


@pytest.fixture
def download(server, storage, connected):
    """Fetch the PDF behind a link to `storage`, which is on the allow-list by default."""

    async def fetch(link=None, hosts=None, **settings):
        server.script = [Reply.of(documents.pdf_item(link or f"{storage.url}/r.pdf?token={TOKEN}"))]
        allowed = Pdf(allowed_hosts=[f"127.0.0.1:{storage.port}"] if hosts is None else hosts)
        async with connected(server.url, allowed, **settings) as client, client.stream_pdf(REPORT_ID) as pdf:
            return pdf.size, b"".join([chunk async for chunk in pdf])

    return fetch


async def test_a_pdf_comes_whole_and_no_credential_goes_to_its_host(download, storage, server):
    assert await download() == (len(PDF), PDF)
    (request,) = storage.requests
    assert (request.path, request.query) == ("/r.pdf", {"token": [TOKEN]})
    assert "authorization" not in request.headers
    assert "authorization" in server.requests[0].headers


async def test_the_content_type_says_nothing_the_first_bytes_do(download, storage):
    storage.script = [Reply(body=b"%PDF-1.4", headers={"Content-Type": "text/html"})]
    assert (await download())[1] == b"%PDF-1.4"


async def test_the_first_bytes_are_seen_however_small_the_pieces_are(download, storage):
    pieces = b"".join(b"2\r\n" + PDF[start : start + 2] + b"\r\n" for start in range(0, 3008, 2))
    storage.script = [Reply(body=pieces + b"0\r\n\r\n", headers={"Transfer-Encoding": "chunked", "Content-Length": ""})]
    assert await download() == (None, PDF[:3008])


@pytest.mark.parametrize("status", [403, 404])
async def test_an_expired_link_is_fetched_anew_once(status, download, storage, server):
    storage.script = [Reply(status), Reply(body=PDF)]
    assert (await download())[1] == PDF
    assert [len(server.requests), len(storage.requests)] == [2, 2]


async def test_a_link_that_expires_again_is_given_up(download, storage, server):
    storage.script = [Reply(403)]
    with pytest.raises(PdfUnavailable) as caught:
        await download()
    assert (caught.value.status, len(server.requests), len(storage.requests)) == (403, 2, 2)


async def test_a_storage_that_fails_in_passing_is_asked_again(download, storage, waits):
    storage.script = [Reply(503, headers={"Retry-After": "2"}), Reply(manner="reset"), Reply(body=PDF)]
    assert (await download(attempts=3))[1] == PDF
    assert waits == [2, 1.0]


FAILURES = {
    "no PDF": (Reply(body=b"<html>%PDF-</html>"), "not those of a PDF"),
    "no bytes": (Reply(body=b""), "not those of a PDF"),
    "a redirect": (Reply(302, headers={"Location": "http://127.0.0.1:1/" + TOKEN}), "status 302"),
    "too large by its header": (Reply(body=b"%PDF-" + b"x" * 9000), "max_pdf_bytes"),
    "a compressed body": (Reply(body=gzip.compress(PDF), headers={"Content-Encoding": "gzip"}), "compressed"),
    "too large without a header": (
        Reply(
            body=b"5\r\n%PDF-\r\n" + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 2 + b"0\r\n\r\n",
            headers={"Transfer-Encoding": "chunked", "Content-Length": ""},
        ),
        "max_pdf_bytes",
    ),
}


IN_PASSING = {
    "an error": (Reply(500), "status 500"),
    "too many requests": (Reply(429), "status 429"),
    "a cut-off": (Reply(body=PDF, manner="cut"), "RemoteProtocolError"),
    "a reset": (Reply(manner="reset"), "ReadError"),
}


@pytest.mark.parametrize("name", [*FAILURES, *IN_PASSING])
async def test_what_is_not_a_whole_pdf_in_bounds_is_refused_without_showing_the_link(name, download, storage, caplog):
    caplog.set_level(logging.DEBUG)
    kind = PdfInterrupted if name in IN_PASSING else PdfUnavailable
    reply, problem = (FAILURES | IN_PASSING)[name]
    storage.script = [reply]
    with pytest.raises(kind, match=problem) as caught:
        await download(max_pdf_bytes=8000, attempts=1)
    error = caught.value
    while error is not None:
        assert TOKEN not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    assert TOKEN not in caplog.text


async def test_a_host_whose_certificate_is_not_trusted_is_no_fault_in_passing(download, waits):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with ScriptedServer([Reply(body=PDF)], tls=context) as stranger:
        with pytest.raises(PdfUnavailable, match="ConnectError"):
            await download(f"{stranger.url}/r.pdf?token={TOKEN}", hosts=[f"127.0.0.1:{stranger.port}"])
    assert (waits, stranger.requests) == ([], [])


@pytest.mark.parametrize(
    "link",
    [
        f"https://elsewhere.example/r.pdf?token={TOKEN}",
        f"https://storage.avarasoftware.com.evil.example/{TOKEN}",
        f"https://storage.avarasoftware.com:8443/{TOKEN}",
        f"http://storage.avarasoftware.com/{TOKEN}",
        f"https://user:word@storage.avarasoftware.com/{TOKEN}",
        f"ftp://storage.avarasoftware.com/{TOKEN}",
        f"file:///etc/passwd?{TOKEN}",
        f"/relative/{TOKEN}",
        f"https://[::1/{TOKEN}",
        f"https://storage.avarasoftware.com\\@evil.example/{TOKEN}",
        f"http://127.0.0.1:1/{TOKEN}",
    ],
)
async def test_a_link_to_a_host_that_is_not_allowed_is_never_followed_nor_shown(link, download, storage):
    with pytest.raises(PdfUnavailable, match="the link") as caught:
        await download(link, hosts=["storage.avarasoftware.com"], attempts=1)
    assert TOKEN not in str(caught.value)
    assert storage.requests == []


async def test_the_api_itself_may_always_hold_the_pdfs(server, connected):
    link = f"{server.url}/files/r.pdf"
    server.script = lambda request: Reply(body=PDF) if "files" in request.target else Reply.of(documents.pdf_item(link))
    async with connected(server.url, Pdf(allowed_hosts=[])) as client, client.stream_pdf(REPORT_ID) as pdf:
        assert b"".join([chunk async for chunk in pdf]) == PDF
    assert "authorization" not in server.requests[1].headers


async def test_a_reader_that_stops_early_frees_the_slot(server, storage, connected):
    server.script = [Reply.of(documents.pdf_item(f"{storage.url}/r.pdf"))]
    allowed = Pdf(allowed_hosts=[f"127.0.0.1:{storage.port}"])
    async with connected(server.url, allowed, requests=1) as client:
        for _ in range(3):
            async with client.stream_pdf(REPORT_ID) as pdf:
                async for _chunk in pdf:
                    break


@pytest.mark.parametrize(
    ("scheme", "host", "port", "allowed"),
    [
        ("https", "a.example", None, True),
        ("https", "a.example", 443, True),
        ("https", "a.example", 444, False),
        ("https", "b.example", 9000, True),
        ("https", "b.example", None, False),
        ("http", "a.example", None, False),
        ("http", "api.example", 8080, True),
        ("https", "api.example", 8080, False),
    ],
)
def test_a_host_is_allowed_with_its_port_and_the_api_with_its_scheme(scheme, host, port, allowed):
    hosts = AllowedHosts.of(["A.example", "b.example:9000"], "http://api.example:8080/x")
    assert (hosts.refusal(scheme, host, port, userinfo=False) == "") is allowed


async def test_a_gzip_bomb_from_the_host_of_the_pdfs_takes_no_memory(download):
    async with bombing() as bomber:
        link = f"http://127.0.0.1:{bomber.port}/r.pdf?token={TOKEN}"
        with memory_stays(), pytest.raises(PdfUnavailable):
            await download(link, hosts=[f"127.0.0.1:{bomber.port}"], attempts=1)
