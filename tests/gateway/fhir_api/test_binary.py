"""https://hl7.org/fhir/R4/binary.html#rest, decisions D16 and D28."""

import base64
from contextlib import asynccontextmanager

import pytest
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import issue, refusal

from gateway.fhir_api import binary
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pdf_stream import PdfStream

FHIR = {"Accept": "application/fhir+json"}


async def test_a_pdf_is_passed_on_and_its_link_is_not(stage):
    report = stage.signed()
    response = await stage.get(f"Binary/{resource_id(report)}-pdf")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/pdf")
    assert response.content.startswith(b"%PDF-")
    assert response.history == []
    assert response.headers["content-disposition"] == f'inline; filename="{resource_id(report)}.pdf"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert int(response.headers["content-length"]) == len(response.content)
    assert "token" not in str(response.headers) + str(response.url)


async def test_the_pdf_of_a_report_is_where_the_report_says_it_is(stage):
    report = (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).json()
    [url] = [one["url"] for one in report["presentedForm"] if one["contentType"] == "application/pdf"]
    assert (await stage.get(url)).status_code == 200


async def test_head_of_a_pdf_sees_that_it_is_there_and_reads_none_of_it(stage):
    response = await stage.client.head(f"{BASE}/Binary/{resource_id(stage.signed())}-pdf")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/pdf"


async def test_a_pdf_is_a_resource_for_who_wants_fhir(stage):
    report_id = resource_id(stage.signed())
    raw = await stage.get(f"Binary/{report_id}-pdf")
    resource = (await stage.get(f"Binary/{report_id}-pdf", headers=FHIR)).json()
    assert base64.b64decode(resource.pop("data")) == raw.content
    assert resource == {
        "resourceType": "Binary",
        "id": f"{report_id}-pdf",
        "contentType": "application/pdf",
        "securityContext": {"reference": f"DiagnosticReport/{report_id}"},
    }


async def test_a_pdf_too_large_for_a_resource_is_still_there_raw(stage, monkeypatch):
    monkeypatch.setattr(binary, "MOST_AS_RESOURCE", 100)
    path = f"Binary/{resource_id(stage.signed())}-pdf"
    assert refusal(await stage.get(path, headers=FHIR)) == (406, "error", "not-supported")
    assert (await stage.get(path)).status_code == 200


@pytest.mark.parametrize("kind", ["pdf", "text"])
async def test_nothing_of_an_unsigned_report_is_given_out(kind):
    async with facade("pdf_unsigned=listed") as stage:
        draft = next(stage.reports(status="in_progress"))
        assert refusal(await stage.get(f"Binary/{resource_id(draft)}-{kind}")) == (404, "error", "not-found")
        assert not any("pdf" in one for one in stage.routes_seen())


async def test_a_text_is_what_autoscribe_holds_byte_for_byte(stage):
    report = stage.signed()
    text = "FINDINGS:\r\n\tn\u00e9ant\x0b\x00 | ^~\\& \u2028"
    stage.account.change_text(report["reportId"], text)
    response = await stage.get(f"Binary/{resource_id(report)}-text")
    assert response.content == text.encode()
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-disposition"] == f'inline; filename="{resource_id(report)}.txt"'
    assert response.headers["x-content-type-options"] == "nosniff"


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


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/pdf", 200), ("application/*", 200), ("image/png", 406), ("application/fhir+xml", 406)],
)
async def test_who_takes_neither_the_bytes_nor_json_is_told(stage, accept, status):
    response = await stage.get(f"Binary/{resource_id(stage.signed())}-pdf", headers={"Accept": accept})
    assert response.status_code == status
    if status == 406:
        assert "application/pdf" in issue(response)["diagnostics"]


async def test_the_better_liked_form_is_given(stage):
    path = f"Binary/{resource_id(stage.signed())}-pdf"
    response = await stage.get(path, headers={"Accept": "application/fhir+json;q=0.5, application/pdf"})
    assert response.headers["content-type"] == "application/pdf"


async def test_a_link_that_has_expired_is_asked_for_anew(stage):
    stage.fail("expired-pdf:call=1")
    assert (await stage.get(f"Binary/{resource_id(stage.signed())}-pdf")).status_code == 200


async def test_a_pdf_that_cannot_be_had_is_a_502_that_shows_no_link(stage):
    stage.fail("expired-pdf")
    response = await stage.get(f"Binary/{resource_id(stage.signed())}-pdf")
    assert refusal(response) == (502, "error", "processing")
    assert "token" not in response.text
    assert "storage" not in response.text


async def test_a_pdf_whose_length_the_store_does_not_say_has_none(stage, monkeypatch):
    async def chunks():
        yield b"1.7 rest"

    @asynccontextmanager
    async def stream_pdf(self, report_id):
        yield PdfStream(b"%PDF-", chunks(), None, 100)

    monkeypatch.setattr(UpstreamClient, "stream_pdf", stream_pdf)
    response = await stage.get(f"Binary/{resource_id(stage.signed())}-pdf")
    assert (response.content, "content-length" in response.headers) == (b"%PDF-1.7 rest", False)
