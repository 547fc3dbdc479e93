"""Each class of upstream failure is raised through the real client, by a server that fails on purpose."""

import asyncio
import gzip
import inspect
import json
import logging
import socket
from types import SimpleNamespace

import httpx
import pytest
from fakes import documents
from fakes.bombs import bombing, memory_stays
from fakes.documents import REPORT_ID, STUDY_ID
from fakes.scripted_server import Reply

from gateway.runtime import errors
from gateway.upstream import client as client_module

SECRETS = ("CANARY", "abc123", "storage.avarasoftware.com")
CANARY_BODY = b'{"message": "patient CANARY Jane"}'

# AutoScribe's behaviour for a GET (on every try), and the error that is raised
GET_FAILURES = {
    "400": (Reply(400, CANARY_BODY), errors.UpstreamRefused),
    "401": (Reply(401, CANARY_BODY), errors.UpstreamKeyRefused),
    "403": (Reply(403, CANARY_BODY), errors.UpstreamKeyRefused),
    "404": (Reply(404, CANARY_BODY), errors.UpstreamNotFound),
    "408": (Reply(408, CANARY_BODY), errors.UpstreamTimeout),
    "409": (Reply(409, CANARY_BODY), errors.UpstreamConflict),
    "418": (Reply(418, CANARY_BODY), errors.UpstreamRefused),
    "422": (Reply(422, CANARY_BODY), errors.UpstreamUnprocessable),
    "429": (Reply(429, CANARY_BODY), errors.UpstreamThrottled),
    "500": (Reply(500, CANARY_BODY), errors.UpstreamFailed),
    "599": (Reply(599, CANARY_BODY), errors.UpstreamFailed),
    "a redirect": (Reply(307, headers={"Location": "http://127.0.0.1:1/CANARY"}), errors.UpstreamRefused),
    "a connection reset": (Reply(manner="reset"), errors.UpstreamUnreachable),
    "a connection closed": (Reply(manner="silent"), errors.UpstreamUnreachable),
    "a cut-off body": (Reply(body=CANARY_BODY * 9, manner="cut"), errors.UpstreamUnreachable),
    "no answer": (Reply(manner="hang"), errors.UpstreamTimeout),
    "too large": (Reply(body=b"[" + b" " * 5000 + b"]"), errors.UpstreamTooLarge),
    "no JSON": (Reply(body=b"<html>CANARY</html>"), errors.UpstreamNotUnderstood),
    "no body": (Reply(204, b""), errors.UpstreamNotUnderstood),
    "no UTF-8": (Reply(body=b'{"CANARY": "\xff"}'), errors.UpstreamNotUnderstood),
    "another type": (Reply(body=b'["CANARY"]'), errors.UpstreamNotUnderstood),
    "a missing key": (Reply(body=b'{"CANARY": 1}'), errors.UpstreamNotUnderstood),
    "a wrong kind": (Reply.of(documents.study(isCancelled="CANARY")), errors.UpstreamNotUnderstood),
    "another study": (Reply.of(documents.study(studyId="stu_" + "a" * 32)), errors.UpstreamNotUnderstood),
    "a compressed body": (
        Reply(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
        errors.UpstreamNotUnderstood,
    ),
}
REPEATED = {"408", "429", "500", "599", "a connection reset", "a connection closed", "a cut-off body", "no answer"}

# Same for a POST: if it may have been carried out, the error is ambiguous
POST_FAILURES = {
    name: (reply, error if reply.status // 100 == 4 and name != "408" else errors.UpstreamAmbiguous)
    for name, (reply, error) in GET_FAILURES.items()
    if name not in {"a redirect", "another study"}
} | {
    "503": (Reply(503, CANARY_BODY), errors.UpstreamFailed),
    "a redirect": (Reply(302, headers={"Location": "/CANARY"}), errors.UpstreamRefused),
    "success false": (Reply.of({"success": False}), errors.UpstreamConflict),
}

SETTINGS = {"read_seconds": 0.05, "max_response_bytes": 4096, "attempts": 3}


def _texts(error):
    """Return everything that a log or traceback could show of an exception and its causes."""
    while error is not None:
        yield from (str(error), repr(error), repr(vars(error)))
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("name", GET_FAILURES)
async def test_a_get_that_fails_raises_its_own_error_and_nothing_secret(name, server, connected, caplog):
    reply, expected = GET_FAILURES[name]
    server.script = [Reply(reply.status, reply.body, {**reply.headers, "x-request-id": "req_42"}, reply.manner)]
    caplog.set_level(logging.DEBUG)
    async with connected(server.url, **SETTINGS) as client:
        with pytest.raises(expected) as caught:
            await client.study(STUDY_ID)
        assert "CANARY" not in repr(client)
    assert type(caught.value) is expected
    assert len(server.requests) == (3 if name in REPEATED else 1)
    assert not [text for text in (*_texts(caught.value), caplog.text) if any(secret in text for secret in SECRETS)]


@pytest.mark.parametrize("name", ["429", "404", "no JSON", "too large"])
async def test_an_error_carries_status_and_the_upstream_request_id(name, server, connected):
    reply, expected = GET_FAILURES[name]
    server.script = [Reply(reply.status, reply.body, {"Request-Id": "req_42"})]
    async with connected(server.url, **SETTINGS) as client:
        with pytest.raises(expected, match=r"GET /studies/\{\}.*req_42") as caught:
            await client.study(STUDY_ID)
    assert (caught.value.status, caught.value.request_id) == (reply.status, "req_42")


async def test_a_request_id_that_is_no_id_is_not_carried(server, connected):
    server.script = [Reply(404, headers={"X-Request-Id": "patient CANARY Jane", "cf-ray": "8a-FRA"})]
    async with connected(server.url) as client:
        with pytest.raises(errors.UpstreamNotFound) as caught:
            await client.study(STUDY_ID)
    assert caught.value.request_id == "8a-FRA"


@pytest.mark.parametrize("name", POST_FAILURES)
async def test_a_post_that_reached_the_server_is_never_sent_again(name, server, connected, waits, caplog):
    server.script, expected = [POST_FAILURES[name][0]], POST_FAILURES[name][1]
    caplog.set_level(logging.DEBUG)
    async with connected(server.url, **SETTINGS) as client:
        with pytest.raises(expected) as caught:
            await client.open_addendum(REPORT_ID)
    assert type(caught.value) is expected
    assert (len(server.requests), waits) == (1, [])
    assert not [text for text in (*_texts(caught.value), caplog.text) if any(secret in text for secret in SECRETS)]


@pytest.fixture
def nobody():
    """Return a base URL without a listener; the port stays taken so that none can appear."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


async def test_without_a_connection_even_a_post_is_tried_again(nobody, connected, waits):
    async with connected(nobody, attempts=3) as client:
        for call in (client.study, client.open_addendum):
            with pytest.raises(errors.UpstreamUnreachable):
                await call(REPORT_ID)
    assert waits == [0.5, 1.0, 0.5, 1.0]


@pytest.fixture
def deadlines(monkeypatch):
    """Let no deadline of a whole answer pass by itself; return each with its seconds, the newest last."""
    made = []

    def timeout(seconds):
        made.append((seconds, asyncio.timeout(None)))
        return made[-1][1]

    monkeypatch.setattr(client_module, "asyncio", SimpleNamespace(**{**vars(asyncio), "timeout": timeout}))
    return made


async def test_a_whole_answer_has_a_deadline_however_steadily_it_trickles(server, connected, deadlines):
    def trickle(_):
        loop, deadline = asyncio.get_running_loop(), deadlines[-1][1]
        loop.call_later(0.02, lambda: deadline.reschedule(loop.time()))  # once the request is there, however late
        return Reply(body=bytes(4000), manner="trickle")

    server.script = trickle
    async with connected(server.url, timeout=7, attempts=2) as client:
        with pytest.raises(errors.UpstreamTimeout):
            await client.study(STUDY_ID)
        with pytest.raises(errors.UpstreamAmbiguous):
            await client.cancel_addendum(REPORT_ID)
    assert [seconds for seconds, _ in deadlines] == [7, 7, 7]
    assert len(server.requests) == 3


async def test_a_get_that_recovers_gives_its_answer(server, connected, waits):
    server.script = [
        Reply(503, headers={"Retry-After": "1.5"}),
        Reply.of(documents.study(), manner="cut"),
        Reply.of(documents.study()),
    ]
    async with connected(server.url, attempts=3) as client:
        assert (await client.study(STUDY_ID)).value == documents.study()
    assert waits == [1.5, 1.0]


async def test_a_long_retry_after_is_waited_for_up_to_the_cap_and_reported_whole(server, connected, waits):
    server.script = [Reply(429, headers={"Retry-After": "3600"})]
    async with connected(server.url, attempts=2, retry_after_cap=20) as client:
        with pytest.raises(errors.UpstreamThrottled) as caught:
            await client.study(STUDY_ID)
    assert (waits, caught.value.retry_after) == ([20], 3600)


@pytest.mark.parametrize(("status", "word", "requests"), [(500, "false", 1), (400, "true", 2), (409, "true", 1)])
async def test_the_servers_word_on_trying_again_is_taken_but_never_for_a_conflict(
    status, word, requests, server, connected
):
    server.script = [Reply(status, headers={"x-should-retry": word})]
    async with connected(server.url, attempts=2) as client:
        with pytest.raises(errors.UpstreamError):
            await client.study(STUDY_ID)
    assert len(server.requests) == requests


async def test_one_study_that_is_not_understood_does_not_hide_the_others_of_its_page(server, connected):
    bad = documents.study(severity=7)
    server.script = [Reply.of({"studies": [bad, documents.study(new=1)], "hasMore": False})]
    async with connected(server.url) as client:
        (page,) = [page async for page in client.studies()]
    assert page.value["studies"] == [documents.study(new=1)]
    assert [(issue.code, issue.pointer) for issue in page.issues] == [
        ("element-not-understood", "/studies/0/severity"),
        ("unknown-key", "/studies/1/new"),
    ]


@pytest.mark.parametrize(
    "document", [{"hasMore": False}, {"users": {}, "hasMore": False}, {"users": []}, {"users": [1], "hasMore": False}]
)
async def test_a_page_without_its_envelope_is_not_understood(document, server, connected):
    server.script = [Reply.of(document)]
    async with connected(server.url) as client:
        with pytest.raises(errors.UpstreamNotUnderstood):
            [page async for page in client.users()]


@pytest.mark.parametrize(
    "document",
    [
        documents.report_list(),
        documents.report_list(documents.text_item(), documents.text_item()),
        documents.report_list(reports="CANARY"),
        documents.report_list(reports=["CANARY"]),
        documents.text_item(reportId=documents.OTHER_REPORT_ID),
        ["CANARY"],
    ],
)
async def test_a_text_of_another_report_is_never_taken_for_the_one_asked_for(document, server, connected):
    server.script = [Reply.of(document)]
    async with connected(server.url) as client:
        with pytest.raises(errors.UpstreamNotUnderstood):
            await client.report_text("rep_" + "9" * 32)


@pytest.mark.parametrize(
    "document",
    [documents.report_list(studyId="stu_" + "9" * 32), documents.pdf_item(studyId="stu_" + "9" * 32), {"CANARY": 1}],
)
async def test_a_list_of_another_study_is_never_taken_for_the_one_asked_for(document, server, connected):
    server.script = [Reply.of(document)]
    async with connected(server.url) as client:
        with pytest.raises(errors.UpstreamNotUnderstood) as caught:
            await client.report_pdfs(study_id=STUDY_ID)
    assert "CANARY" not in str(caught.value)


def test_every_exception_of_httpx_is_one_the_client_turns_into_its_own():
    raised = {
        kind
        for _, kind in inspect.getmembers(httpx, inspect.isclass)
        if issubclass(kind, Exception) and kind is not httpx.CookieConflict
    }
    assert {kind for kind in raised if not issubclass(kind, client_module._BROKEN)} == set()


def test_every_leaf_of_upstream_error_is_raised_by_a_test_of_this_folder():
    tested = {error for _, error in (*GET_FAILURES.values(), *POST_FAILURES.values())} | {
        errors.PdfUnavailable,
        errors.PdfInterrupted,
    }
    assert set(errors.UpstreamError.__subclasses__()) == tested


def test_the_canary_bodies_are_json_so_that_a_client_could_have_quoted_them():
    assert json.loads(CANARY_BODY)["message"].endswith("CANARY Jane")


@pytest.mark.parametrize(
    ("head", "body"), [("", None), ("Content-Length: 33554432", bytes(2**25)), ("X: " + "x" * 2**25, b"")]
)
async def test_a_gzip_bomb_a_body_and_headers_without_end_take_no_memory(head, body, connected):
    async with (
        bombing(head=head, body=body) as bomber,
        connected(f"http://127.0.0.1:{bomber.port}", max_response_bytes=65_536, attempts=1) as client,
    ):
        with memory_stays(), pytest.raises(errors.UpstreamError):
            await client.study(STUDY_ID)
