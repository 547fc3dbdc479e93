"""https://hl7.org/fhir/R4/binary.html#rest, RFC 9110 §13 and §14, decisions D16, D21 and D28."""

import asyncio
import base64
import hashlib
import xml.etree.ElementTree as ET
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import format_datetime
from types import SimpleNamespace

import httpx
import pytest
import structlog
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import issue, refusal
from fakes.pdfs import Library, pdf
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.fhir_api.binary import binary
from gateway.ingest import Fetched, Pipeline
from gateway.ingest.pdf_queue import PdfQueue
from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import Statement, ask
from gateway.store.stored_reports import CHUNK, Pdfs
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pdf_stream import PdfStream

FHIR = {"Accept": "application/fhir+json"}
XML = {"Accept": "application/fhir+xml"}
_WANT = Statement("UPDATE pdf SET state = 'wanted', due = 0")
_SUPPRESS = Statement("UPDATE resource SET is_suppressed = 1 WHERE address = :address")


@pytest.fixture
def serve(monkeypatch):
    """Make AutoScribe return these bytes for every PDF, with this Content-Length."""

    def given(data, size=None, broken=None):
        async def chunks():
            for start in range(5, len(data), 100_000):
                yield data[start : start + 100_000]
            if broken:
                raise broken

        @asynccontextmanager
        async def stream_pdf(self, report_id):
            yield PdfStream(data[:5], chunks(), size, 2**40)

        monkeypatch.setattr(UpstreamClient, "stream_pdf", stream_pdf)

    return given


async def keep(stage, report):
    """Return the address of a report's PDF, once it is stored."""
    serving = stage.app.state.facade
    await serving.reads.report(report["reportId"])

    async def refresh(study_id):
        return await serving.reads._pipeline.refresh(study_id)

    queue = PdfQueue(Pdfs(serving.engine), serving.upstream.stream_pdf, refresh, Metrics())
    assert await queue.once() == 1
    return f"Binary/{resource_id(report)}-pdf"


async def messages(stage, path, *, has_gone=False):
    """Collect the ASGI messages that answer a GET, even if the answer breaks off or the client disconnects."""
    sent = []

    async def receive():
        if not has_gone:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8800")]
    scope = {"type": "http", "method": "GET", "path": f"/fhir/{path}", "query_string": b"", "headers": headers}
    await stage.app(scope, receive, send)
    return sent


# A stored PDF


@pytest.mark.parametrize("size", [5, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 11])
async def test_a_pdf_that_is_kept_comes_out_byte_for_byte_without_autoscribe(stage, serve, size):
    data = pdf(size)
    serve(data)
    path = await keep(stage, stage.signed())
    serve(b"%PDF-other")
    stage.routes_seen()
    response = await stage.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/pdf")
    assert response.content == data
    assert response.headers["etag"] == f'"{hashlib.sha1(data).hexdigest()}"'
    assert response.headers["content-length"] == str(size)
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-disposition"] == f'inline; filename="{resource_id(stage.signed())}.pdf"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert stage.routes_seen() == []


async def test_what_the_report_says_of_its_pdf_is_what_its_address_gives(stage):
    await keep(stage, stage.signed())
    report = (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).json()
    for form in report["presentedForm"]:
        response = await stage.get(form["url"], headers={"Accept": form["contentType"]})
        assert len(response.content) == form["size"]
        assert base64.b64encode(hashlib.sha1(response.content).digest()).decode() == form["hash"]
        assert response.headers["etag"] == f'"{base64.b64decode(form["hash"]).hex()}"'


async def test_a_link_that_dies_after_it_was_kept_does_not_matter(stage):
    path = await keep(stage, stage.signed())
    before = (await stage.get(path)).content
    stage.fail("expired-pdf", "503")
    assert (await stage.get(path)).content == before


async def test_head_of_a_pdf_says_what_a_get_does(stage):
    path = await keep(stage, stage.signed())
    got, head = await stage.get(path), await stage.client.head(f"{BASE}/{path}", headers={"Range": "bytes=0-3"})
    assert (head.status_code, head.content, dict(head.headers)) == (200, b"", dict(got.headers))


@pytest.mark.parametrize(
    ("first", "last"),
    [(0, 0), (0, 9), (7, CHUNK - 1), (CHUNK - 1, CHUNK), (CHUNK, 2 * CHUNK), (10, 3 * CHUNK), (3 * CHUNK + 10, 9**9)],
)
async def test_a_range_is_the_slice(stage, serve, first, last):
    data = pdf(3 * CHUNK + 11)
    serve(data)
    path = await keep(stage, stage.signed())
    response = await stage.get(path, headers={"Range": f"bytes={first}-{last}"})
    expected = data[first : last + 1]
    assert (response.status_code, response.content) == (206, expected)
    assert response.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(data)}"
    assert response.headers["content-length"] == str(len(expected))
    assert response.headers["content-type"] == "application/pdf"


async def test_the_end_of_a_pdf_and_all_behind_a_place_can_be_asked_for(stage, serve):
    data = pdf(CHUNK + 50)
    serve(data)
    path = await keep(stage, stage.signed())
    for asked, expected in (("-100", data[-100:]), (f"{CHUNK}-", data[CHUNK:]), ("-99999999", data)):
        response = await stage.get(path, headers={"Range": f"bytes={asked}"})
        assert (response.status_code, response.content) == (206, expected)


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=x", "pages=1-2"])
async def test_several_ranges_and_what_is_none_give_the_whole(stage, serve, asked):
    serve(pdf(500))
    path = await keep(stage, stage.signed())
    response = await stage.get(path, headers={"Range": asked})
    assert (response.status_code, response.content) == (200, pdf(500))


@pytest.mark.parametrize("asked", ["bytes=500-", "bytes=-0"])
async def test_a_range_behind_the_end_is_a_416_that_says_how_many_bytes_there_are(stage, serve, asked):
    serve(pdf(500))
    path = await keep(stage, stage.signed())
    response = await stage.get(path, headers={"Range": asked})
    assert refusal(response) == (416, "error", "value")
    assert issue(response)["detail"] == "range-not-satisfiable"
    assert response.headers["content-range"] == "bytes */500"


async def test_a_range_of_a_pdf_that_was_replaced_gives_the_whole_of_the_other(stage, serve):
    serve(pdf(500))
    path = await keep(stage, stage.signed())
    etag = (await stage.get(path)).headers["etag"]
    again = await stage.get(path, headers={"Range": "bytes=1-2", "If-Range": etag})
    assert (again.status_code, again.content) == (206, pdf(500)[1:3])
    other = await stage.get(path, headers={"Range": "bytes=1-2", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, pdf(500))


async def test_who_has_it_already_gets_no_body(stage):
    path = await keep(stage, stage.signed())
    said = (await stage.get(path)).headers
    kept = (await Pdfs(stage.app.state.facade.engine).current(stage.signed()["reportId"])).kept
    assert said["last-modified"] == format_datetime(kept, usegmt=True)
    for asked in (
        {"If-None-Match": said["etag"]},
        {"If-None-Match": f'"x", W/{said["etag"]}', "Range": "bytes=9999999-"},
        {"If-None-Match": "*"},
        {"If-Modified-Since": said["last-modified"]},
    ):
        response = await stage.get(path, headers=asked)
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", said["etag"])
    assert (await stage.get(path, headers={"If-None-Match": '"x"'})).status_code == 200


@pytest.mark.parametrize("size", [500, 501, 502, CHUNK, 2 * CHUNK + 1])
async def test_a_pdf_is_a_resource_for_who_wants_fhir(stage, serve, size):
    data = pdf(size)
    serve(data)
    path = await keep(stage, stage.signed())
    report_id = resource_id(stage.signed())
    expected = {
        "resourceType": "Binary",
        "id": f"{report_id}-pdf",
        "contentType": "application/pdf",
        "securityContext": {"reference": f"DiagnosticReport/{report_id}"},
    }
    for more in ("", "?_pretty=true"):
        response = await stage.get(path + more, headers=FHIR)
        assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"
        assert response.headers["content-length"] == str(len(response.content))
        assert ("\n" in response.text) is bool(more)
        resource = response.json()
        assert base64.b64decode(resource.pop("data"), validate=True) == data
        assert resource == expected
        assert "content-disposition" not in response.headers


async def test_a_pdf_is_a_resource_in_xml_too(stage, serve):
    serve(pdf(CHUNK + 7))
    path = await keep(stage, stage.signed())
    response = await stage.get(path, headers=XML)
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert response.headers["content-length"] == str(len(response.content))
    [data] = [one for one in ET.fromstring(response.content) if one.tag == "{http://hl7.org/fhir}data"]
    assert base64.b64decode(data.attrib["value"], validate=True) == pdf(CHUNK + 7)


async def test_a_resource_has_an_entity_tag_of_its_own_and_no_ranges(stage, serve):
    serve(pdf(500))
    path = await keep(stage, stage.signed())
    raw = (await stage.get(path)).headers["etag"]
    response = await stage.get(path, headers={**FHIR, "Range": "bytes=0-1"})
    assert response.status_code == 200
    etag = response.headers["etag"]
    assert etag == f'W/"{raw.strip(chr(34))}-fhir"'
    assert (await stage.get(path, headers={**FHIR, "If-None-Match": etag})).status_code == 304
    assert (await stage.get(path, headers={**FHIR, "If-None-Match": raw})).status_code == 200
    assert (await stage.get(path, headers={"If-None-Match": etag})).status_code == 200


async def test_a_pdf_that_is_replaced_while_it_is_read_is_cut_off_and_not_mixed(stage, serve, monkeypatch):
    before, after = pdf(3 * CHUNK, 1), pdf(3 * CHUNK, 2)
    serve(before)
    path = await keep(stage, stage.signed())
    read = Pdfs.read

    async def replaced(self, found, first, last):
        monkeypatch.setattr(Pdfs, "read", read)
        pieces = read(self, found, first, last)
        yield await anext(pieces)
        await stage.app.state.facade.engine.do(lambda: ask(_WANT))
        serve(after)
        await keep(stage, stage.signed())
        async for piece in pieces:
            yield piece

    monkeypatch.setattr(Pdfs, "read", replaced)
    _, *bodies = await messages(stage, path)
    assert bodies == [{"type": "http.response.body", "body": before[:CHUNK], "more_body": True}]
    assert (await stage.get(path)).content == after


# A PDF that is not stored


async def test_a_pdf_that_is_not_kept_is_passed_on_and_its_link_is_not(stage):
    report = stage.signed()
    response = await stage.get(f"Binary/{resource_id(report)}-pdf", headers={"Range": "bytes=0-1"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/pdf")
    assert response.content.startswith(b"%PDF-")
    assert response.history == []
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["accept-ranges"] == "none"
    assert "etag" not in response.headers
    assert "token" not in str(response.headers) + str(response.url)


async def test_where_none_are_kept_what_is_kept_is_not_served(stage, serve):
    serve(pdf(500, 1))
    path = await keep(stage, stage.signed())
    stage.app.state.facade = replace(stage.app.state.facade, keeps_pdfs=False)
    serve(pdf(500, 2))
    assert (await stage.get(path)).content == pdf(500, 2)


async def test_the_pdf_of_a_corrected_report_is_never_that_of_the_earlier_text(stage, serve):
    serve(pdf(500, 1))
    report = stage.signed()
    path = await keep(stage, report)
    stage.account.change_text(report["reportId"], "IMPRESSION: Fracture.")
    serve(pdf(500, 2))
    assert (await stage.get(path, headers={"Cache-Control": "no-cache"})).content == pdf(500, 2)
    assert (await stage.get(path)).content == pdf(500, 2)


async def test_the_pdf_of_a_report_is_where_the_report_says_it_is(stage):
    report = (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).json()
    [url] = [one["url"] for one in report["presentedForm"] if one["contentType"] == "application/pdf"]
    assert (await stage.get(url)).status_code == 200


async def test_head_of_a_pdf_that_is_not_kept_sees_that_it_is_there_and_reads_none_of_it(stage):
    response = await stage.client.head(f"{BASE}/Binary/{resource_id(stage.signed())}-pdf")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/pdf"


async def test_a_pdf_that_is_not_kept_is_a_resource_as_well(stage, serve):
    serve(pdf(CHUNK + 1), size=CHUNK + 1)
    path = f"Binary/{resource_id(stage.signed())}-pdf"
    response = await stage.get(path, headers=FHIR)
    assert response.headers["content-length"] == str(len(response.content))
    assert base64.b64decode(response.json()["data"], validate=True) == pdf(CHUNK + 1)


async def test_a_pdf_whose_length_the_store_does_not_say_has_none(stage, serve):
    serve(pdf(500))
    for headers in ({}, FHIR):
        response = await stage.get(f"Binary/{resource_id(stage.signed())}-pdf", headers=headers)
        assert (response.status_code, "content-length" in response.headers) == (200, False)


async def test_a_link_that_has_expired_is_asked_for_anew(stage):
    stage.fail("expired-pdf:call=1")
    assert (await stage.get(f"Binary/{resource_id(stage.signed())}-pdf")).status_code == 200


async def test_a_pdf_that_cannot_be_had_is_a_502_that_shows_no_link(stage):
    stage.fail("expired-pdf")
    response = await stage.get(f"Binary/{resource_id(stage.signed())}-pdf")
    assert refusal(response) == (502, "error", "processing")
    assert "token" not in response.text
    assert "storage" not in response.text


# The text


async def test_a_text_is_what_autoscribe_holds_byte_for_byte(stage):
    report = stage.signed()
    text = "FINDINGS:\r\n\tn\u00e9ant\x0b\x00 | ^~\\& \u2028"
    stage.account.change_text(report["reportId"], text)
    path = f"Binary/{resource_id(report)}-text"
    response = await stage.get(path)
    assert response.content == text.encode()
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-disposition"] == f'inline; filename="{resource_id(report)}.txt"'
    assert response.headers["x-content-type-options"] == "nosniff"
    part = await stage.get(path, headers={"Range": "bytes=3-12"})
    assert (part.status_code, part.content) == (206, text.encode()[3:13])


async def test_a_text_who_has_it_already_gets_no_body(stage):
    path = f"Binary/{resource_id(stage.signed())}-text"
    etag = (await stage.get(path)).headers["etag"]
    response = await stage.get(path, headers={"If-None-Match": etag})
    assert (response.status_code, response.content) == (304, b"")


async def test_a_text_is_a_resource_for_who_wants_fhir(stage):
    report = stage.signed()
    response = await stage.get(f"Binary/{resource_id(report)}-text?_format=json")
    assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert base64.b64decode(response.json()["data"]).decode() == report["reportPlainText"]


async def test_a_report_without_a_text_has_no_text(stage):
    silent = next(one for one in stage.reports(status="completed", isAddendum=False) if not one.get("reportPlainText"))
    assert refusal(await stage.get(f"Binary/{resource_id(silent)}-text")) == (404, "error", "not-found")


async def test_the_text_of_a_draft_is_given_out_where_the_site_lets_drafts_out(stage):
    serving = stage.app.state.facade
    draft = next(one for one in stage.reports(status="in_progress") if one.get("reportPlainText"))
    path = f"Binary/{resource_id(draft)}-text"
    assert refusal(await stage.get(path)) == (404, "error", "not-found")
    serving.reads._pipeline = Pipeline(serving.engine, replace(serving.site, send_drafts=True), serving.zone)
    await serving.reads._pipeline.rerender(draft["studyId"])
    assert (await stage.get(path)).text == draft["reportPlainText"]
    assert refusal(await stage.get(f"Binary/{resource_id(draft)}-pdf")) == (404, "error", "not-found")


# On both engines


async def test_a_pdf_and_a_text_come_out_of_either_store(engine):
    library, data = Library(engine), pdf(CHUNK + 9)
    await library.report(text="IMPRESSION: Normal.")
    await library.keep(data)
    app = Starlette(routes=[Route("/Binary/{id}", binary)])
    app.state.facade = SimpleNamespace(engine=engine, keeps_pdfs=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        path = f"/Binary/{resource_id({'reportId': library.report_id()})}"
        assert (await client.get(f"{path}-pdf")).content == data
        part = await client.get(f"{path}-pdf", headers={"Range": f"bytes={CHUNK - 2}-{CHUNK + 1}"})
        assert (part.status_code, part.content) == (206, data[CHUNK - 2 : CHUNK + 2])
        assert base64.b64decode((await client.get(f"{path}-pdf", headers=FHIR)).json()["data"]) == data
        assert (await client.get(f"{path}-text")).text == "IMPRESSION: Normal."


# Requests that get no bytes


@pytest.mark.parametrize("kind", ["pdf", "text"])
async def test_nothing_of_an_unsigned_report_is_given_out(kind):
    async with facade("pdf_unsigned=listed") as stage:
        draft = next(stage.reports(status="in_progress"))
        assert refusal(await stage.get(f"Binary/{resource_id(draft)}-{kind}")) == (404, "error", "not-found")
        assert not any("pdf" in one for one in stage.routes_seen())


@pytest.mark.parametrize("kind", ["pdf", "text"])
async def test_nothing_of_a_report_that_was_withdrawn_is_given_out_as_valid(stage, kind):
    report, serving = stage.signed(), stage.app.state.facade
    await keep(stage, report)
    stage.account.studies[report["studyId"]]["isCancelled"] = True
    takes_back = replace(serving.site, on_cancelled_after_sign="withdraw")
    serving.reads._pipeline = Pipeline(serving.engine, takes_back, serving.zone)
    await serving.reads.study(report["studyId"], fresh=True)
    response = await stage.get(f"Binary/{resource_id(report)}-{kind}")
    assert refusal(response) == (410, "error", "deleted")
    assert issue(response)["detail"] == "resource-withdrawn"


async def test_a_report_whose_resource_is_suppressed_still_has_its_original(stage):
    report = stage.signed()
    path = await keep(stage, report)
    address = f"DiagnosticReport/{resource_id(report)}"
    await stage.app.state.facade.engine.do(lambda: ask(_SUPPRESS, address=address))
    assert (await stage.get(path)).status_code == 200


@pytest.mark.parametrize("name", ["pdf", "rep-1-pdf", f"rep-{'a' * 32}", f"rep-{'a' * 32}-html", f"rep_{'a' * 32}-pdf"])
async def test_what_can_be_no_id_is_not_found(stage, name):
    assert refusal(await stage.get(f"Binary/{name}")) == (404, "error", "not-found")


@pytest.mark.parametrize("kind", ["pdf", "text"])
async def test_a_report_that_nobody_knows_is_not_found(stage, kind):
    assert refusal(await stage.get(f"Binary/rep-{'a' * 32}-{kind}")) == (404, "error", "not-found")


@pytest.mark.parametrize("kind", ["pdf", "text"])
async def test_nothing_of_an_external_study_is_given_out(stage, kind):
    report, serving = stage.signed(), stage.app.state.facade
    study = stage.account.studies[report["studyId"]]
    study["studyType"] = "external"

    async def fetch():
        return Fetched(study, [report], [], 1)

    await serving.reads._pipeline.ingest(report["studyId"], fetch)
    response = await stage.get(f"Binary/{resource_id(report)}-{kind}")
    assert refusal(response) == (404, "error", "not-found")
    assert issue(response)["detail"] == "resource-not-found"


@pytest.mark.full
@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/pdf", 200), ("application/*", 200), ("application/fhir+xml", 200), ("image/png", 406)],
)
async def test_who_takes_neither_the_bytes_nor_fhir_is_told(stage, accept, status):
    response = await stage.get(f"Binary/{resource_id(stage.signed())}-pdf", headers={"Accept": accept})
    assert response.status_code == status
    if status == 406:
        assert "application/pdf" in issue(response)["diagnostics"]


async def test_the_better_liked_form_is_given(stage):
    path = f"Binary/{resource_id(stage.signed())}-pdf"
    response = await stage.get(path, headers={"Accept": "application/fhir+json;q=0.5, application/pdf"})
    assert response.headers["content-type"] == "application/pdf"


@pytest.mark.full
@pytest.mark.parametrize("kind", ["pdf", "text"])
@pytest.mark.parametrize(
    ("accept", "wanted", "is_resource"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", False),  # a browser
        ("application/json, text/plain, */*", "", False),  # axios
        ("application/json", "", True),  # fhirpy, which would take nothing else
        ("application/fhir+json, */*;q=0.1", "", True),
        ("application/fhir+turtle, */*;q=0.1", "", False),
        ("text/html,*/*", "json", True),
        ("text/html,*/*", "application/xml", True),
    ],
)
async def test_what_takes_any_json_or_xml_gets_the_bytes_and_what_takes_nothing_else_the_resource(
    stage, kind, accept, wanted, is_resource
):
    path = f"Binary/{resource_id(stage.signed())}-{kind}{f'?_format={wanted}' if wanted else ''}"
    response = await stage.get(path, headers={"Accept": accept})
    assert response.headers["content-type"].startswith("application/fhir+") is is_resource


async def test_of_two_forms_of_the_resource_the_better_liked_one_is_given(stage):
    path = f"Binary/{resource_id(stage.signed())}-pdf"
    response = await stage.get(path, headers={"Accept": "application/json, application/fhir+xml;q=0.1"})
    assert response.headers["content-type"].startswith("application/fhir+json")


async def test_who_goes_away_is_sent_no_more(stage, serve):
    serve(pdf(3 * CHUNK))
    path = await keep(stage, stage.signed())
    assert [one["type"] for one in await messages(stage, path, has_gone=True)] == ["http.response.start"]


async def test_no_presigned_link_and_no_key_is_kept_logged_or_shown(stage, tmp_path):
    with structlog.testing.capture_logs() as lines:
        path = await keep(stage, stage.signed())
        stage.fail("expired-pdf")
        other = next(one for one in stage.reports(status="completed") if one["reportId"] != stage.signed()["reportId"])
        refused = await keep(stage, other)
        answers = [await stage.get(one, headers=form) for one in (path, refused) for form in ({}, FHIR)]
    engine = stage.app.state.facade.engine
    rows = await engine.query("SELECT * FROM pdf", ())
    everything = str(lines) + str(rows) + "".join(str(one.headers) for one in answers) + answers[-1].text
    stored = engine.path.read_bytes() + engine.path.with_name(f"{engine.path.name}-wal").read_bytes()
    for secret in ("token=", "/storage/", stage.app.state.facade.upstream._settings.api_key.get_secret_value()):
        assert secret not in everything
        assert secret.encode() not in stored
