"""Another kind of payload goes through the same lanes: nothing of delivery or of the store knows the form of a message.

RFC 9110 §15 (the status of an answer without an acknowledgement).
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from fakes.fed import Fed, destination
from fakes.in_force import always_in_force
from fakes.store import rows
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from gateway.feed.payload import Acknowledgement, NotAnAcknowledgement, acknowledged
from gateway.routing import Http
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.store.feed.outbox import ComposedStudy, NewMessage, SettledRow


class JsonPayload:
    """Toy kind of payload: a JSON object for each outbox row, answered by a status alone."""

    suffix = "json"

    def composed(self, study, rows, site, destination):
        study_id = study.known.study.study_id
        messages = [
            NewMessage(
                outbox=row.number,
                report_id=row.report_id,
                kind=row.kind,
                content_version=row.content_version,
                control_id=f"json-{row.number}",
                restates=row.report_id,
                filler_order_numbers=(row.report_id,),
                report_ids=(row.report_id,),
                patient_id="pat-1",
                is_whole=True,
                is_draft=False,
                is_critical=bool(row.is_critical),
                priority=row.priority,
                signed=row.signed,
                body=json.dumps({"report": row.report_id, "cause": row.kind}).encode(),
            )
            for row in rows
        ]
        settled = [SettledRow(row.number, "rendered") for row in rows]
        return ComposedStudy(study_id, study.revision, settled, messages, study.sent)

    def content_type(self, style, receiver):
        return "application/json"

    def acknowledgement(self, answer):
        raise NotAnAcknowledgement("a status is all")


class Server:
    """HTTP server that answers with these statuses, the last of them for good, and keeps the requests."""

    def __init__(self, *statuses):
        self.statuses, self.requests = list(statuses), []

    async def answer(self, request):
        self.requests.append((request.headers["content-type"], await request.body()))
        return Response(status_code=self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])


@asynccontextmanager
async def json_feed(engine, server):
    """Open a feed to the server whose messages are JSON."""
    app = Starlette(routes=[Route("/in", server.answer, methods=["POST"])])
    with listening_socket("127.0.0.1", 0) as listener:
        async with running(app, listener):
            to = Http(f"http://127.0.0.1:{listener.getsockname()[1]}/in", style="plain")
            made = (replace(destination(1), transport=to),)
            await always_in_force(engine, made)
            feed = Fed(engine, SandboxAccount(generate(studies=20)), made)
            feed.payload = JsonPayload()
            yield feed


async def test_a_message_of_another_kind_is_composed_stored_sent_and_delivered(engine):
    server = Server(201)
    async with json_feed(engine, server) as feed, feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
    body = json.dumps({"report": signed.report_id, "cause": "signed"}).encode()
    assert server.requests == [("application/json", body)]


async def test_a_message_of_another_kind_that_is_refused_is_sent_again_with_the_same_bytes(engine):
    server = Server(503, 201)
    async with json_feed(engine, server) as feed, feed.serving():
        await feed.sign(critical=False)
        await feed.until("delivered")
    first, second = server.requests
    assert first == second
    assert await rows(engine, "SELECT state, reason FROM attempt ORDER BY place") == [
        ("queued", "AR-503"),
        ("delivered", ""),
    ]


async def test_the_next_message_of_a_lane_waits_for_one_that_is_refused_for_its_content(engine):
    server = Server(422)
    async with json_feed(engine, server) as feed, feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("held")
        await feed.add(signed)
        await feed.until_rows("SELECT state FROM message", lambda found: len(found) == 2)
        assert await feed.held_lane() == (signed.study_id, "refused")
    assert len(server.requests) == 1


def test_an_answer_that_is_no_acknowledgement_is_none():
    assert acknowledged(JsonPayload(), b"OK") is None


def test_the_text_of_an_acknowledgement_stays_out_of_logs():
    shown = repr(Acknowledgement("AE", "ID1", "JANE DOE has no MRN", ("101",), b"MSA|AE|ID1|JANE DOE"))
    assert "JANE" not in shown


@pytest.mark.parametrize("code", ["no-msa", "empty"])
def test_the_reason_why_bytes_are_no_acknowledgement_is_a_code(code):
    assert NotAnAcknowledgement(code).code == str(NotAnAcknowledgement(code)) == code
