"""RFC 9110 §10.2.3 (Retry-After), measured by the server's own log, over a socket."""

import asyncio

import pytest
from fakes.crawl import Noted, study, study_id
from fakes.scripted_server import Reply, ScriptedServer
from fakes.virtual_clock import VirtualClock

from gateway.runtime import clock
from gateway.runtime.errors import UpstreamFailed
from gateway.settings import Pdf, Upstream
from gateway.upstream.pace import Pace
from gateway.upstream.paced_client import PacedClient


@pytest.fixture
async def server():
    async with ScriptedServer() as running:
        yield running


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


def client(server, pace):
    return PacedClient(Upstream.model_validate({"api_key": "k", "base_url": server.url}), Pdf(), pace)


def said(request):
    number = int(request.path.rpartition("_")[2], 16) if "stu_" in request.path else 1
    return Reply.of(study(number))


async def test_no_request_is_sent_before_retry_after_is_over_whoever_wants_it(server, time):
    log, pace = [], Pace(4, noted := Noted())
    time.busy = lambda: pace.under_way > 0

    def script(request):
        log.append(clock.monotonic())
        return Reply(429, headers={"Retry-After": "90"}) if len(log) == 1 else said(request)

    server.script = script
    async with client(server, pace) as upstream:
        first = asyncio.create_task(upstream.study(study_id(1)))
        await time.run_for(0)
        assert noted.throttles == [90]
        others = [upstream.study(study_id(number)) for number in range(2, 12)]
        await time.run(asyncio.gather(first, *others))
    assert len(log) == 12
    assert log[0] == 0.0
    assert min(log[1:]) == 90.0


async def test_the_server_never_sees_more_requests_at_one_time_than_the_pace_allows(server):
    gate = asyncio.Event()
    pace = Pace(3)
    server.script = lambda request: Reply(body=said(request).body, gate=gate)
    async with client(server, pace) as upstream:
        asked = asyncio.gather(*(upstream.study(study_id(number)) for number in range(20)))
        async with server.arrived:
            await server.arrived.wait_for(lambda: server.open == 3)
        await asyncio.sleep(0.02)
        gate.set()
        await asked
    assert (server.most_open, len(server.requests)) == (3, 20)


async def test_what_fails_twice_is_left_to_the_loop(server, time):
    pace = Pace(8)
    time.busy = lambda: pace.under_way > 0
    server.script = [Reply(500)]
    async with client(server, pace) as upstream:
        with pytest.raises(UpstreamFailed):
            await time.run(upstream.study(study_id(1)))
    assert len(server.requests) == 2
    assert pace.limit == 2
