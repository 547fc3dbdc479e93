import asyncio
import ssl

import pytest
from fakes import documents
from fakes.documents import OTHER_REPORT_ID, REPORT_ID, STUDY_ID, STUDY_UID, USER_ID
from fakes.scripted_server import Reply, ScriptedServer

from gateway.runtime import errors, request_errors
from gateway.settings import Pdf, Upstream
from gateway.upstream.client import UpstreamClient

GETS = {
    "reports": (lambda c: c.reports(study_id=STUDY_ID), documents.report_list),
    "report_texts": (
        lambda c: c.report_texts(study_id=STUDY_ID),
        lambda: documents.report_list(documents.text_item()),
    ),
    "report_text": (lambda c: c.report_text(REPORT_ID), documents.text_item),
    "report_pdfs": (lambda c: c.report_pdfs(study_id=STUDY_ID), lambda: documents.report_list(documents.pdf_item())),
    "report_pdf": (lambda c: c.report_pdf(REPORT_ID), documents.pdf_item),
    "study": (lambda c: c.study(STUDY_ID), documents.study),
    "study_by_uid": (lambda c: c.study_by_uid(STUDY_UID), documents.study),
    "user": (lambda c: c.user(USER_ID), documents.user),
}
TARGETS = {
    "reports": f"/v1/autoScribe/reports?studyId={STUDY_ID}",
    "report_texts": f"/v1/autoScribe/reports/text?studyId={STUDY_ID}",
    "report_text": f"/v1/autoScribe/reports/text?reportId={REPORT_ID}",
    "report_pdfs": f"/v1/autoScribe/reports/pdf?studyId={STUDY_ID}",
    "report_pdf": f"/v1/autoScribe/reports/pdf?reportId={REPORT_ID}",
    "study": f"/v1/autoScribe/studies/{STUDY_ID}",
    "study_by_uid": f"/v1/autoScribe/studies/by-uid/{STUDY_UID}",
    "user": f"/v1/autoScribe/users/{USER_ID}",
}
POSTS = {"open_addendum": "addendum", "cancel_addendum": "cancel-addendum"}


async def _pages(pages):
    return [page async for page in pages]


@pytest.mark.parametrize("name", GETS)
async def test_each_call_asks_its_endpoint_with_the_key_and_gives_the_document_unchanged(name, server, connected):
    call, document = GETS[name]
    server.script = [Reply.of(document(), headers={"x-request-id": "req_42"})]
    async with connected(server.url) as client:
        answer = await call(client)
    assert (answer.value, answer.request_id, answer.issues) == (document(), "req_42", ())
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", TARGETS[name])
    assert request.headers["authorization"] == "Bearer avara-key-CANARY-7731"
    assert (request.headers["accept"], request.headers["accept-encoding"]) == ("application/json", "identity")


async def test_a_study_can_be_selected_by_its_uid(server, connected):
    server.script = [Reply.of(documents.report_list())]
    async with connected(server.url) as client:
        await client.reports(study_instance_uid=STUDY_UID)
    assert server.requests[0].query == {"studyInstanceUid": [STUDY_UID]}


async def test_a_path_before_the_api_is_kept(server, connected):
    server.script = [Reply.of(documents.study())]
    async with connected(f"{server.url}/vendor/") as client:
        await client.study(STUDY_ID)
    assert server.requests[0].path == f"/vendor/v1/autoScribe/studies/{STUDY_ID}"


@pytest.mark.parametrize("name", POSTS)
async def test_an_addendum_call_posts_nothing_but_a_content_type(name, server, connected):
    server.script = [Reply.of({"success": True, "message": "done"})]
    async with connected(server.url) as client:
        answer = await getattr(client, name)(REPORT_ID)
    assert answer.value == {"success": True, "message": "done"}
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", f"/v1/autoScribe/reports/{REPORT_ID}/{POSTS[name]}")
    assert (request.headers["content-type"], request.headers["content-length"]) == ("application/json", "0")


async def test_success_false_is_no_success(server, connected):
    server.script = [Reply.of({"success": False, "message": "CANARY"})]
    async with connected(server.url) as client:
        with pytest.raises(errors.UpstreamConflict) as caught:
            await client.open_addendum(REPORT_ID)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("identifier", ["", ".", "..", "a\nb", "\ud800"])
async def test_an_id_that_cannot_be_one_is_refused_before_anything_is_sent(identifier, server, connected):
    async with connected(server.url) as client:
        for call in (client.study, client.study_by_uid, client.user, client.report_text, client.open_addendum):
            with pytest.raises(request_errors.BadRequest):
                await call(identifier)
    assert server.requests == []


@pytest.mark.parametrize("selector", [{}, {"study_id": STUDY_ID, "study_instance_uid": STUDY_UID}])
async def test_exactly_one_selector_is_sent(selector, server, connected):
    async with connected(server.url) as client:
        for call in (client.reports, client.report_texts, client.report_pdfs):
            with pytest.raises(request_errors.BadRequest):
                await call(**selector)
    assert server.requests == []


async def test_an_id_stays_one_segment_of_the_path(server, connected):
    server.script = [Reply(404)]
    async with connected(server.url) as client:
        with pytest.raises(errors.UpstreamNotFound):
            await client.study("a/../b?c=d#e%2F f")
    assert server.requests[0].target == "/v1/autoScribe/studies/a%2F..%2Fb%3Fc%3Dd%23e%252F%20f"


async def test_a_revoked_user_is_none(server, connected):
    server.script = [Reply(404)]
    async with connected(server.url) as client:
        assert await client.user(USER_ID) is None


async def test_filters_go_out_in_the_wire_form(server, connected):
    server.script = [Reply.of({"studies": [], "hasMore": False})]
    async with connected(server.url) as client:
        await _pages(client.studies(study_report_status=["completed", "addendum_active"], is_cancelled=False, limit=20))
        await _pages(client.studies(study_report_status=[], severity="stat"))
    assert server.requests[0].target.split("?")[1] == (
        "limit=20&studyReportStatus=completed%2Caddendum_active&isCancelled=false"
    )
    assert server.requests[1].target.split("?")[1] == "limit=100&severity=stat"


async def test_pages_are_followed_and_overlap_gives_each_study_once(server, connected):
    first, second, third = (documents.study(studyId="stu_" + digit * 32) for digit in "123")
    server.script = [
        Reply.of({"studies": [first, second], "hasMore": True, "cursor": "c=1&x"}),
        Reply.of({"studies": [second, third], "hasMore": False, "cursor": "c2"}),
    ]
    async with connected(server.url) as client:
        pages = await _pages(client.studies(is_cancelled=True))
    assert [[study["studyId"][4] for study in page.value["studies"]] for page in pages] == [["1", "2"], ["3"]]
    assert server.requests[1].query == {"limit": ["100"], "isCancelled": ["true"], "cursor": ["c=1&x"]}


@pytest.mark.parametrize("cursor", [{}, {"cursor": ""}, {"cursor": None}])
async def test_a_page_without_a_cursor_is_the_last_and_says_so(cursor, server, connected):
    server.script = [Reply.of({"users": [documents.user()], "hasMore": True, **cursor})]
    async with connected(server.url) as client:
        (page,) = await _pages(client.users(can_create_reports=True))
    assert "cursor-absent" in {issue.code for issue in page.issues}


async def test_a_cursor_that_comes_again_ends_the_paging(server, connected):
    server.script = [Reply.of({"users": [documents.user()], "hasMore": True, "cursor": "same"})]
    async with connected(server.url) as client:
        with pytest.raises(errors.UpstreamNotUnderstood):
            await _pages(client.users())
    assert len(server.requests) == 2


async def test_no_more_requests_are_open_at_once_than_allowed(server, connected):
    gate = asyncio.Event()
    server.script = [Reply.of(documents.study(), gate=gate)]
    async with connected(server.url, requests=3) as client:
        calls = [asyncio.create_task(client.study(STUDY_ID)) for _ in range(12)]
        async with server.arrived:
            await server.arrived.wait_for(lambda: server.open == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert (server.open, len(server.requests)) == (3, 3)
        gate.set()
        await asyncio.gather(*calls)
    assert (server.most_open, len(server.requests)) == (3, 12)


async def test_the_proxy_of_the_settings_is_used_and_the_key_goes_through_it(server, connected):
    server.script = [Reply.of(documents.study())]
    proxy = f"http://who:secret@127.0.0.1:{server.port}"
    async with connected("http://127.0.0.1:1", proxy=proxy) as client:
        await client.study(STUDY_ID)
    assert server.requests[0].target == f"http://127.0.0.1:1/v1/autoScribe/studies/{STUDY_ID}"
    assert server.requests[0].headers["proxy-authorization"].startswith("Basic ")


async def test_a_proxy_that_refuses_the_tunnel_means_nothing_was_sent(server, connected):
    server.script = [Reply(407)]
    async with connected("https://127.0.0.1:1", proxy=server.url, attempts=2) as client:
        with pytest.raises(errors.UpstreamUnreachable):
            await client.open_addendum(REPORT_ID)
    assert [request.method for request in server.requests] == ["CONNECT", "CONNECT"]


async def test_the_environment_names_no_proxy(server, connected, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.script = [Reply.of(documents.study())]
    async with connected(server.url) as client:
        await client.study(STUDY_ID)
    assert len(server.requests) == 1


@pytest.fixture(scope="session")
def authority():
    import trustme

    return trustme.CA()


@pytest.fixture
async def tls_server(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with ScriptedServer([Reply.of(documents.study())], tls=context) as running:
        yield running


async def test_a_private_authority_is_trusted_when_its_file_is_set(tls_server, authority, connected, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with connected(tls_server.url, ca_file=tmp_path / "ca.pem") as client:
        assert (await client.study(STUDY_ID)).value["studyId"] == STUDY_ID


async def test_a_certificate_that_is_not_trusted_is_never_accepted_nor_tried_again(tls_server, connected, waits):
    async with connected(tls_server.url) as client:
        with pytest.raises(errors.UpstreamUnreachable, match="ca_file"):
            await client.study(STUDY_ID)
    assert (waits, tls_server.requests) == ([], [])


def test_a_client_without_a_key_names_the_variable_to_set():
    with pytest.raises(errors.ConfigError) as caught:
        UpstreamClient(Upstream(), Pdf())
    assert caught.value.key == "AVARA_API_KEY"


async def test_a_list_where_one_report_was_asked_gives_that_report_and_says_so(server, connected):
    other = documents.text_item(reportId=OTHER_REPORT_ID)
    server.script = [Reply.of(documents.report_list(other, documents.text_item()))]
    async with connected(server.url) as client:
        answer = await client.report_text(REPORT_ID)
    assert answer.value == documents.text_item()
    assert [issue.code for issue in answer.issues] == ["list-for-single"]


async def test_one_report_where_a_list_was_asked_gives_a_list_and_says_so(server, connected):
    server.script = [Reply.of(documents.pdf_item())]
    async with connected(server.url) as client:
        answer = await client.report_pdfs(study_id=STUDY_ID)
    assert answer.value == documents.report_list(documents.pdf_item())
    assert [issue.code for issue in answer.issues] == ["single-for-list"]
