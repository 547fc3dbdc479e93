"""The work for a request ends when its client is gone, unless it changes something."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest
from fakes.facade import resource_id

from gateway.fhir_api.http import attended
from gateway.fhir_api.http.attended import CLIENT_GONE, Attended
from gateway.fhir_api.http.budget import AT_ONCE
from gateway.runtime.serving import listening_socket, running

PART = {"type": "http.request", "body": b"a", "more_body": True}
LAST = {"type": "http.request", "body": b"b", "more_body": False}
GONE = {"type": "http.disconnect"}


class Connection:
    """Client that sends these messages, and leaves when it is told to, as a server's `receive` shows it."""

    def __init__(self, *messages):
        self._messages, self.gone, self.sent = list(messages), asyncio.Event(), []

    async def receive(self):
        if self._messages:
            return self._messages.pop(0)
        await self.gone.wait()
        return GONE

    async def send(self, message):
        self.sent.append(message)


class Work:
    """Application that reads the whole body, then works until it is cancelled."""

    def __init__(self):
        self.begun, self.ended, self.read = asyncio.Event(), asyncio.Event(), []

    async def __call__(self, scope, receive, send):
        try:
            while scope["method"] == "POST":
                self.read.append(message := await receive())
                if not message.get("more_body", False):
                    break
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            self.ended.set()


def scope(method="GET", path="/fhir/Patient/x/$everything"):
    return {"type": "http", "method": method, "path": path}


async def ended(event):
    """True if it is set within the time that a watch takes, with a margin."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), 20 * attended.PATIENCE)
    return event.is_set()


@pytest.fixture
async def request_of():
    """Start a request; cancel those that are still there at the end."""
    tasks = []

    def start(connection, work, **more):
        tasks.append(asyncio.create_task(Attended(work)(scope(**more), connection.receive, connection.send)))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("method", "messages"), [("GET", []), ("GET", [LAST]), ("POST", [PART, LAST])])
async def test_the_work_ends_when_its_client_is_gone(request_of, method, messages):
    connection, work = Connection(*messages), Work()
    task = request_of(connection, work, method=method)
    await work.begun.wait()
    connection.gone.set()
    assert await ended(work.ended)
    await task  # the server sees no error
    assert connection.sent[0]["status"] == CLIENT_GONE
    assert [one["body"] for one in work.read] == ([b"a", b"b"] if method == "POST" else [])


async def test_it_goes_on_while_the_client_waits(request_of):
    connection, work = Connection(LAST), Work()
    request_of(connection, work)
    assert not await ended(work.ended)


async def test_a_client_that_leaves_within_its_body_ends_the_request_without_an_error(request_of):
    connection, work = Connection(PART), Work()
    task = request_of(connection, work, method="POST")
    connection.gone.set()
    assert await ended(work.ended)
    await task
    assert not work.begun.is_set()


@pytest.mark.parametrize("name", ["$addendum", "$cancel-addendum"])
async def test_what_changes_something_is_not_cut_off(request_of, name):
    connection, work = Connection(LAST), Work()
    request_of(connection, work, method="POST", path=f"/fhir/DiagnosticReport/rep-1/{name}")
    await work.begun.wait()
    connection.gone.set()
    assert not await ended(work.ended)


async def test_a_request_that_ends_leaves_no_watch_behind():
    async def quick(scope, receive, send):
        await asyncio.sleep(2 * attended.PATIENCE)

    connection = Connection(LAST)
    await Attended(quick)(scope(), connection.receive, connection.send)
    await asyncio.sleep(0)
    assert {one for one in asyncio.all_tasks() if one is not asyncio.current_task()} == set()
    assert connection.sent == []


async def test_the_end_of_the_service_is_no_client_that_left(request_of):
    connection, work = Connection(LAST), Work()
    task = request_of(connection, work)
    await work.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.sent == []


async def test_a_client_that_has_its_whole_answer_is_not_taken_for_one_that_left(request_of):
    cleaned = asyncio.Event()

    async def tidy(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
        connection.gone.set()  # servers show a disconnect from here on
        await asyncio.sleep(4 * attended.PATIENCE)
        assert await receive() == GONE
        cleaned.set()

    connection = Connection(LAST)
    await request_of(connection, tidy)
    assert cleaned.is_set()
    assert [one["type"] for one in connection.sent] == ["http.response.start", "http.response.body"]


async def test_a_client_that_leaves_within_its_answer_gets_no_second_one(request_of):
    async def half(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.Event().wait()

    connection = Connection(LAST)
    task = request_of(connection, half)
    await asyncio.sleep(0)
    connection.gone.set()
    await asyncio.wait_for(task, 60)
    assert [one.get("status") for one in connection.sent] == [200, None]


async def test_an_error_of_the_application_passes():
    async def late(scope, receive, send):
        raise TimeoutError

    connection = Connection(LAST)
    with pytest.raises(TimeoutError):
        await Attended(late)(scope(), connection.receive, connection.send)
    assert connection.sent == []


async def test_the_rest_of_a_batch_does_not_begin_for_a_client_that_closed_its_connection(stage, monkeypatch):
    begun, ended_ones, all_begun = 0, 0, asyncio.Event()

    async def endless(self, *given, **more):
        nonlocal begun, ended_ones
        begun += 1
        if begun == AT_ONCE:
            all_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended_ones += 1

    async def served(scope, receive, send):
        if scope["type"] == "http":
            await stage.app({**scope, "app": stage.app}, receive, send)

    monkeypatch.setattr(type(stage.app.state.facade.reads), "report", endless)
    reports = [resource_id(one) for one in list(stage.reports(status="completed"))[: 3 * AT_ONCE]]
    entries = [{"request": {"method": "GET", "url": f"DiagnosticReport/{one}"}} for one in reports]
    body = json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}).encode()
    head = "POST /fhir HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\nContent-Length: "
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        async with running(served, listener):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            await asyncio.wait_for(all_begun.wait(), 60)
            writer.close()
            async with asyncio.timeout(60):
                while ended_ones < AT_ONCE:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(2 * attended.PATIENCE)
    assert (begun, ended_ones) == (AT_ONCE, AT_ONCE)


async def test_a_study_that_is_being_fetched_for_a_client_that_left_is_stored_for_everybody(stage, monkeypatch):
    upstream = stage.app.state.facade.upstream
    begun, go, fetched = asyncio.Event(), asyncio.Event(), type(upstream).study

    async def slow(self, *given, **more):
        begun.set()
        await go.wait()
        return await fetched(self, *given, **more)

    monkeypatch.setattr(type(upstream), "study", slow)
    path = f"/fhir/DiagnosticReport/{resource_id(stage.signed())}"
    connection = Connection(LAST)
    headers = [(b"host", b"localhost")]
    asked = {**scope(path=path), "headers": headers, "query_string": b"", "client": None, "server": ("localhost", 80)}
    request = asyncio.create_task(stage.app(asked, connection.receive, connection.send))
    await begun.wait()
    connection.gone.set()
    await asyncio.wait_for(request, 60)
    assert connection.sent[0]["status"] == CLIENT_GONE
    go.set()
    async with asyncio.timeout(60):
        while not await stage.app.state.facade.engine.query("SELECT 1 FROM study", ()):
            await asyncio.sleep(0.01)
    stage.routes_seen()
    assert (await stage.client.get(f"http://127.0.0.1:8800{path}")).status_code == 200
    assert stage.routes_seen() == []
