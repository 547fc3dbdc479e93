"""Limits of an HTTP connection, under attack over real sockets; decision D40."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest

from gateway.runtime.http_connection import MOST_HEAD, MOST_LINES, MOST_PIPELINED, Connections, LimitedHttp
from gateway.runtime.serving import listening_socket, running

SOON = 0.25


class Counted(Counter):
    """Requests seen by the application, and what became of them."""


async def application(scope, receive, send):
    """Answer with the number of bytes of the body, after the whole of it came."""
    if scope["type"] != "http":
        return
    seen, size, more = scope["app_seen"], 0, True
    seen["begun"] += 1
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            seen["gone"] += 1
            return
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(4 * SOON)
    body = b"x" * int(scope["query_string"] or 0) or str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": memoryview(body) if scope["path"] == "/view" else body})
    seen["answered"] += 1


class Stage:
    """A server with short times: its port, what it refused, and what the application saw."""

    def __init__(self, port: int, refused: Counter, seen: Counter, connections: Connections) -> None:
        self.port, self.refused, self.seen, self.connections = port, refused, seen, connections

    async def open(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, *pieces: bytes) -> bytes:
        """Send these pieces, and return all that comes until the connection ends."""
        reader, writer = await self.open()
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(reader.read(), 60)
        except ConnectionResetError:
            return b"reset"
        finally:
            writer.close()


@asynccontextmanager
async def serving(**limits):
    refused, seen = Counter(), Counter()
    connections = Connections(refused=lambda reason: refused.update([reason]), **limits)

    async def app(scope, receive, send):
        await application({**scope, "app_seen": seen}, receive, send)

    with listening_socket("127.0.0.1", 0) as listener:
        async with running(app, listener, connections):
            yield Stage(listener.getsockname()[1], refused, seen, connections)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def outcome(answer: bytes):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_a_head_just_below_the_limits_is_answered():
    lines = b"".join(b"x-%02d: %s\r\n" % (number, b"v" * 300) for number in range(MOST_LINES - 2))
    async with serving() as stage:
        answer = await stage.exchange(b"GET / HTTP/1.1\r\nhost: a\r\n" + lines + b"connection: close\r\n\r\n")
        assert status(answer) == 200
        assert stage.refused == {}


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * MOST_HEAD + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\naccept: " + b"a" * MOST_HEAD + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MOST_LINES + 1) + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"accept: " + b"a" * 14_000_000,
        b"GET /" + b"a" * 14_000_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000,
    ],
    ids=["target", "value", "lines", "endless value", "endless target", "endless lines"],
)
async def test_a_larger_head_is_refused_before_it_is_read_whole(head):
    async with serving() as stage:
        answer = await stage.exchange(head)
        assert status(answer) == 431
        for guard in (b"cache-control: no-store", b"x-content-type-options: nosniff"):
            assert guard in answer
        [issue] = outcome(answer)["issue"]
        assert (issue["code"], str(MOST_HEAD) in issue["diagnostics"]) == ("too-long", True)
        assert (stage.refused, stage.seen["begun"]) == ({"head-too-large": 1}, 0)
        await ended(stage)


async def ended(stage):
    async with asyncio.timeout(60):
        while stage.connections.number:
            await asyncio.sleep(0.01)
    assert stage.connections.waiting == {}


async def test_a_head_behind_a_large_body_has_the_whole_limit_for_itself():
    body = b"b" * 100_000
    first = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    second = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\naccept: " + b"a" * 31_000 + b"\r\n\r\n"
    async with serving() as stage:
        answer = await stage.exchange(first + second)
        assert answer.count(b"HTTP/1.1 200") == 2
        assert stage.refused == {}


async def test_a_head_that_does_not_come_in_time_is_a_408():
    async with serving(head_time=SOON) as stage:
        answer = await stage.exchange(b"GET / HTTP/1.1\r\nhost:")
        assert status(answer) == 408
        assert outcome(answer)["issue"][0]["code"] == "timeout"
        assert stage.refused == {"head-too-slow": 1}


async def test_a_head_that_trickles_is_no_reason_to_wait_longer():
    async with serving(head_time=SOON) as stage:
        reader, writer = await stage.open()
        begun = asyncio.get_running_loop().time()
        trickle = asyncio.create_task(trickled(writer, b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x" * 1000))
        assert status(await reader.read()) == 408
        assert asyncio.get_running_loop().time() - begun < 20 * SOON
        trickle.cancel()
        writer.close()


async def trickled(writer, data):
    for place in range(len(data)):
        writer.write(data[place : place + 1])
        await asyncio.sleep(0.01)


async def test_a_connection_that_asks_for_nothing_is_closed_without_a_word():
    async with serving(head_time=SOON) as stage:
        assert await stage.exchange() == b""
        assert stage.refused == {}
        await ended(stage)


async def test_a_body_that_does_not_come_in_time_ends_the_request():
    async with serving(body_time=SOON) as stage:
        answer = await stage.exchange(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n", b"1")
        assert status(answer) == 408
        assert stage.refused == {"body-too-slow": 1}
        await ended(stage)
        assert (stage.seen["gone"], stage.seen["answered"]) == (1, 0)


async def test_what_is_not_http_is_a_400_and_no_line_of_the_log(caplog):
    async with serving() as stage:
        answer = await stage.exchange(b"\x16\x03\x01\x02\x00 no HTTP\r\n\r\n")
        assert status(answer) == 400
        assert stage.refused == {"not-http": 1}
    assert caplog.records == []


async def test_who_sends_requests_without_reading_is_cut_off_after_some():
    async with serving() as stage:
        answer = await stage.exchange(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * (MOST_PIPELINED + 5_000))
        assert answer.count(b"HTTP/1.1 200") <= MOST_PIPELINED + 1
        assert stage.refused == {"crowded": 1}
        await ended(stage)


async def test_some_requests_in_a_row_are_answered_in_order():
    several = b"".join(b"GET /?%d HTTP/1.1\r\nhost: a\r\n\r\n" % size for size in range(1, 11))
    async with serving() as stage:
        answer = await stage.exchange(several + b"GET /?11 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert [len(part) for part in answer.split(b"\r\n\r\n")[1:]][-1] == 11
        assert answer.count(b"HTTP/1.1 200") == 11


async def test_an_answer_that_nobody_reads_ends_the_connection():
    async with serving(body_time=SOON) as stage:
        _, writer = await stage.open()
        writer.transport.pause_reading()
        writer.write(b"GET /?50000000 HTTP/1.1\r\nhost: a\r\n\r\n")
        await ended(stage) if await begun(stage) else None
        assert stage.refused == {"not-read": 1}
        writer.transport.abort()


async def begun(stage):
    async with asyncio.timeout(60):
        while not stage.connections.number:
            await asyncio.sleep(0.01)
    return True


async def test_an_answer_that_is_read_slowly_comes_whole():
    async with serving(body_time=SOON) as stage:
        reader, writer = await stage.open()
        writer.write(b"GET /?20000000 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        size = 0
        while piece := await reader.read(1_000_000):
            size += len(piece)
            await asyncio.sleep(SOON / 5)
        assert size > 20_000_000
        assert stage.refused == {}
        writer.close()


async def test_idle_connections_give_way_to_new_clients():
    async with serving(most=20) as stage:
        idle = [await stage.open() for _ in range(60)]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stage.port}") as client:
            for _ in range(5):
                assert (await client.get("/")).status_code == 200
        assert stage.refused["crowded"] >= 40
        for _, writer in idle:
            writer.close()


async def test_a_connection_with_a_request_under_way_does_not_give_way():
    async with serving(most=4) as stage:
        reader, writer = await stage.open()
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nconnection: close\r\n\r\n")
        idle = [await stage.open() for _ in range(3)]
        writer.write(b"1")
        await asyncio.sleep(0.05)
        assert b"200 OK" in await reader.read()
        for _, other in [*idle, (reader, writer)]:
            other.close()


async def test_an_upgrade_that_is_offered_is_not_taken():
    async with serving() as stage:
        head = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
        reader, writer = await stage.open()
        writer.write(head)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_head_that_does_not_come_in_time_is_no_answer_to_the_request_before_it():
    async with serving(head_time=SOON) as stage:
        answer = await stage.exchange(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost:")
        assert answer in {b"", b"reset"}
        assert stage.refused == {"head-too-slow": 1}


async def test_who_asks_again_without_reading_is_cut_off_all_the_same():
    async with serving(body_time=SOON) as stage:
        _, writer = await stage.open()
        writer.transport.pause_reading()
        writer.write(b"GET /?50000000 HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.sleep(SOON / 4)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await ended(stage)
        assert stage.refused == {"not-read": 1}
        writer.transport.abort()


async def test_a_head_that_begins_while_an_answer_is_unread_has_its_time_from_then_on():
    async with serving(head_time=SOON) as stage:
        reader, writer = await stage.open()
        writer.transport.pause_reading()
        writer.write(b"GET /?50000000 HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.sleep(SOON / 4)
        writer.write(b"GET / HTTP/1.1\r\nhost:")
        await asyncio.sleep(SOON / 4)
        writer.transport.resume_reading()
        async with asyncio.timeout(60):
            assert (await reader.read()).endswith(b"}")
        assert stage.refused == {"head-too-slow": 1}
        writer.close()


@pytest.mark.parametrize("size", [5, 100_000])
async def test_a_body_that_is_a_view_of_bytes_comes_whole(size):
    async with serving() as stage:
        answer = await stage.exchange(b"GET /view?%d HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % size)
    assert answer.partition(b"\r\n\r\n")[2] == b"x" * size


async def test_a_bad_body_behind_a_100_continue_leaves_nothing_to_be_written_later():
    failed = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    head = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
    async with serving() as stage:
        for _ in range(20):
            answer = await stage.exchange(head, b"zz\r\n")
            assert b" 400 " in answer
            assert answer.startswith(b"HTTP/1.1 ")
        await asyncio.sleep(SOON)
    assert failed == []


async def test_answers_without_a_body_keep_their_places_among_others():
    request, last = b" / HTTP/1.1\r\nhost: a\r\n\r\n", b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    async with serving() as stage:
        answers = await stage.exchange(b"HEAD" + request + b"GET" + request + last)
    bodies = [one.partition(b"\r\n\r\n")[2] for one in answers.split(b"HTTP/1.1 200")[1:]]
    assert bodies == [b"", b"0", b""]


async def test_a_wait_that_is_nearly_over_can_begin_anew():
    """A timer of uvloop of less than half a millisecond has no time that it could be compared with."""
    connection = object.__new__(LimitedHttp)
    loop = asyncio.get_running_loop()
    now = loop.time()
    connection.loop = SimpleNamespace(time=lambda: now, call_later=loop.call_later, call_at=loop.call_at)
    connection.transport = SimpleNamespace(is_closing=lambda: False)
    connection._timer, connection._until = None, now + 0.0001
    connection._look()
    connection._wait(5)
    connection._timer.cancel()
