"""HL7 over HTTP against a server whose answers the tests choose.

https://hapifhir.github.io/hapi-hl7v2/hapi-hl7overhttp/specification.html
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest
from fakes.bombs import bombing, memory_stays
from fakes.heads import head
from fakes.listening import listening
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.deliver import http_channel
from gateway.feed.deliver.http_channel import HttpChannel
from gateway.mllp.permit import Permit, PermitEnded
from gateway.routing import Basic, Bearer, Http
from gateway.runtime import clock
from gateway.runtime.errors import AckTimeout, AckUnreadable, ConnectFailed, ConnectionLost, SendFailed
from gateway.runtime.serving import listening_socket, running
from mappings.hl7v2.ack import acknowledge
from mappings.profile import receiver

RECEIVER = receiver("generic")


class Server:
    """HTTP server that answers with a given status and acknowledgement code, or none, and keeps the requests."""

    def __init__(self, status=200, code="AA", delay=0.0, body=None):
        self.status, self.code, self.delay, self.body = status, code, delay, body
        self.headers, self.bodies = [], []

    async def answer(self, request):
        self.headers.append(request.headers)
        self.bodies.append(await request.body())
        await asyncio.sleep(self.delay)
        ack = acknowledge(self.bodies[-1], self.code, control_id="A1", at="20260105") if self.code else b""
        return Response(ack if self.body is None else self.body, self.status, media_type="application/hl7-v2")


@asynccontextmanager
async def posting(server, permit=None, **more):
    app = Starlette(routes=[Route("/hl7", server.answer, methods=["POST"])])
    with listening_socket("127.0.0.1", 0) as listener:
        async with running(app, listener):
            channel = HttpChannel(
                Http(f"http://127.0.0.1:{listener.getsockname()[1]}/hl7", **more), RECEIVER, HL7V2, permit or Permit()
            )
            yield channel
            await channel.close()


async def test_the_bytes_are_posted_as_they_are_and_the_answer_is_their_acknowledgement():
    server = Server()
    async with posting(server) as channel:
        ack = await channel.exchange(head(1))
    assert (ack.code, ack.control_id) == ("AA", "ID1")
    assert server.bodies == [head(1).body]
    assert server.headers[0]["content-type"] == "application/hl7-v2; charset=utf-8"


@pytest.mark.parametrize(("status", "code"), [(400, "AE"), (500, "AR")])
async def test_a_refusal_with_an_acknowledgement_says_what_that_says(status, code):
    async with posting(Server(status, code)) as channel:
        assert (await channel.exchange(head(1))).code == code


@pytest.mark.parametrize(("status", "code"), [(400, "AE"), (401, "AE"), (302, "AE"), (429, "AR"), (503, "AR")])
@pytest.mark.parametrize("style", ["hoh", "plain"])
async def test_a_status_alone_says_whether_it_may_be_tried_again(style, status, code):
    async with posting(Server(status, None), style=style) as channel:
        ack = await channel.exchange(head(1))
    assert (ack.code, list(ack.errors)) == (code, [str(status)])


async def test_of_plain_a_status_of_success_is_enough():
    async with posting(Server(202, None), style="plain") as channel:
        assert await channel.exchange(head(1)) is None


@pytest.mark.parametrize(("status", "code"), [(200, "AA"), (400, "AE")])
async def test_the_server_and_what_it_answered_are_there_to_be_kept(status, code):
    async with posting(Server(status, code)) as channel:
        await channel.exchange(head(1))
        assert json.loads(channel.where)["peer"].startswith("127.0.0.1:")
        assert b"\rMSA|" in channel.received


async def test_what_is_no_acknowledgement_is_kept_too_and_of_nobody_the_way_there():
    async with posting(Server(503, None, body=b"busy")) as channel:
        await channel.exchange(head(1))
        assert channel.received == b"busy"
    channel = HttpChannel(Http("http://127.0.0.1:1/hl7"), RECEIVER, HL7V2, Permit())
    with pytest.raises(ConnectFailed):
        await channel.exchange(head(1))
    assert (json.loads(channel.where), channel.received) == ({"to": "http http://127.0.0.1:1/hl7 (hoh)"}, b"")


@pytest.mark.parametrize("body", [b"", b"OK", b"x" * 100_000])
async def test_success_without_an_acknowledgement_of_the_message_is_none(body):
    async with posting(Server(200, None, body=body)) as channel:
        with pytest.raises(AckUnreadable):
            await channel.exchange(head(1))


async def test_what_is_not_answered_in_time_may_have_arrived():
    async with posting(Server(delay=1.0), ack_timeout=0.1) as channel:
        with pytest.raises(AckTimeout):
            await channel.exchange(head(1))


async def test_where_nobody_listens_nothing_was_sent():
    with listening_socket("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/hl7"
    with pytest.raises(ConnectFailed):
        await HttpChannel(Http(url), RECEIVER, HL7V2, Permit()).exchange(head(1))


@pytest.mark.parametrize(
    ("auth", "said"), [(Bearer("abc"), "Bearer abc"), (Basic("user", "pass"), "Basic dXNlcjpwYXNz")]
)
async def test_credentials_go_with_every_message(auth, said):
    server = Server()
    async with posting(server, auth=auth) as channel:
        await channel.exchange(head(1))
    assert server.headers[0]["authorization"] == said


@pytest.mark.parametrize("at", ["connect_tcp", "write"])
async def test_no_request_is_whole_when_the_lease_is_over_before_its_last_part(monkeypatch, at):
    permit, server = Permit(clock.monotonic() + 60), Server()
    owner = http_channel._Backend if at == "connect_tcp" else http_channel._Stream
    real = getattr(owner, at)

    async def then_over(*arguments, **more):
        result = await real(*arguments, **more)
        permit.end()
        return result

    monkeypatch.setattr(owner, at, then_over)
    async with posting(server, permit) as channel:
        with pytest.raises(PermitEnded):
            await channel.exchange(head(1))
        assert not channel.is_late
    assert server.bodies == []


async def test_an_answer_to_a_request_that_was_whole_in_time_is_heard_after_the_lease():
    permit, server = Permit(clock.monotonic() + 60), Server(delay=1.5)
    async with posting(server, permit) as channel:
        asked = asyncio.create_task(channel.exchange(head(1)))
        while not server.bodies:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.8)
        permit.end()
        assert (await asked).code == "AA"
        assert not channel.is_late, "the kernel said in time that the server had it"


async def test_a_request_that_a_server_does_not_read_is_reset_when_the_lease_is_over():
    permit = Permit(clock.monotonic() + 60)
    asked, ended, served = asyncio.Event(), asyncio.Event(), asyncio.Event()
    came = bytearray()

    async def serve(reader, writer):
        asked.set()
        await ended.wait()
        with suppress(ConnectionResetError):
            while data := await reader.read(1_000_000):
                came.extend(data)
        writer.transport.abort()
        served.set()

    async with listening(serve) as port:
        url = f"http://127.0.0.1:{port}/hl7"
        channel = HttpChannel(Http(url), RECEIVER, HL7V2, permit)
        sending = asyncio.create_task(channel.exchange(head(1, b"x" * 30_000_000)))
        await asked.wait()
        await asyncio.sleep(0.2)
        permit.extend(0.0)
        with pytest.raises(SendFailed):
            await sending
        assert channel.is_late
        ended.set()
        await served.wait()
    assert 0 < len(came) < 30_000_000


async def bombed(bomber):
    channel = HttpChannel(Http(f"http://127.0.0.1:{bomber.port}/hl7"), RECEIVER, HL7V2, Permit())
    try:
        with memory_stays():
            return await channel.exchange(head(1))
    finally:
        await channel.close()


async def test_a_gzip_bomb_from_a_destination_is_asked_not_to_come_and_is_not_decoded():
    async with bombing() as bomber:
        with pytest.raises(AckUnreadable):
            await bombed(bomber)
    assert b"accept-encoding: identity\r\n" in bomber.asked[0].lower()


async def test_the_status_of_a_gzip_bomb_still_says_if_the_message_may_be_tried_again():
    async with bombing("503 Service Unavailable") as bomber:
        assert (await bombed(bomber)).code == "AR"


async def test_an_answer_without_end_is_cut_off_and_its_connection_is_closed():
    body = bytes(32 * 2**20)
    async with bombing(head=f"Content-Length: {len(body)}", body=body) as bomber:
        with pytest.raises(AckUnreadable):
            await bombed(bomber)


async def test_headers_without_end_are_cut_off():
    async with bombing(head="X: " + "x" * 32 * 2**20) as bomber:
        with pytest.raises(ConnectionLost):
            await bombed(bomber)
