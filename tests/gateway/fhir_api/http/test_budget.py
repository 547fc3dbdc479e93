"""One client's costly requests wait for one another, not the requests of others; too many are refused with 429."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from fakes.facade import BASE, resource_id
from fakes.outcomes import issue, refusal
from starlette.requests import Request

from gateway.auth.access import ACCESS, Access
from gateway.fhir_api.http import budget as module
from gateway.fhir_api.http.budget import AT_ONCE, MOST, REST, Budget, paid
from gateway.fhir_api.http.client import authenticated, client_key
from gateway.runtime.request_errors import Throttled


def scope(address="127.0.0.1", client_id=None):
    access = {} if client_id is None else {ACCESS: SimpleNamespace(client_id=client_id)}
    return {"type": "http", "client": (address, 1), **access}


def test_two_users_of_one_application_are_two_and_share_one_budget():
    one, other, nobody = ({"type": "http", ACCESS: Access("app", (), None, 0, user)} for user in ("a", "b", None))
    assert len({authenticated(one), authenticated(other), authenticated(nobody)}) == 3
    assert authenticated(nobody) == "app"
    assert client_key(one) == client_key(other) == client_key(nobody) == ("id", "app")


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
        ("fe80::1%eth0", "fe80::2%eth0", "fe80:0:0:1::1"),
        ("::1", "::2", "0.0.0.1"),
        ("no address", "no address", ""),
    ],
)
def test_addresses_of_one_ipv6_network_are_one_client(address, same, other):
    assert client_key(scope(address)) == client_key(scope(same)) != client_key(scope(other))


class Slow:
    """Costly handler: it notes who runs, and ends when it is let go."""

    def __init__(self):
        self.running, self.order, self.go = [], [], asyncio.Event()

    async def __call__(self, request):
        self.running.append(request.scope["client"])
        self.order.append(request.scope.get("number"))
        try:
            await self.go.wait()
        finally:
            self.running.remove(request.scope["client"])


@pytest.fixture
async def slow():
    return Slow()


@pytest.fixture
async def asks(slow):
    """Ask a number of times as the client of a scope; return the tasks."""
    handler, tasks = Budget().within(slow), []

    async def ask(where, times=1):
        made = [asyncio.create_task(handler(Request({**where, "number": number}))) for number in range(times)]
        tasks.extend(made)
        await asyncio.sleep(0.01)
        return made

    yield ask
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_few_run_at_one_time_and_the_rest_wait_in_order(asks, slow):
    tasks = await asks(scope(), 3 * AT_ONCE)
    assert len(slow.running) == AT_ONCE
    slow.go.set()
    await asyncio.gather(*tasks)
    assert slow.order == list(range(3 * AT_ONCE))


async def test_another_client_does_not_wait_for_them(asks, slow):
    await asks(scope(), MOST)
    await asks(scope("127.0.0.2"))
    assert ("127.0.0.2", 1) in slow.running


async def test_one_too_many_is_refused_and_the_others_stay(asks, slow):
    tasks = await asks(scope(), MOST)
    [refused] = await asks(scope())
    assert isinstance(refused.exception(), Throttled)
    slow.go.set()
    await asyncio.gather(*tasks)
    assert len(slow.order) == MOST
    [after] = await asks(scope())
    assert after.exception() is None


async def test_a_request_whose_client_left_gives_its_place_away(asks, slow):
    tasks = await asks(scope(), MOST)
    for task in tasks[1 : AT_ONCE + 1]:  # all that run but one, and the first that waits
        task.cancel()
    [one_more] = await asks(scope())
    assert slow.order == [*range(AT_ONCE), *range(AT_ONCE + 1, 2 * AT_ONCE)]
    assert len(slow.running) == AT_ONCE
    assert not one_more.done()


async def test_a_budget_keeps_nothing_of_clients_that_are_done(slow):
    budget = Budget()
    slow.go.set()
    await budget.within(slow)(Request(scope()))
    with pytest.raises(Throttled), budget.booked(scope("127.0.0.3"), MOST + 1):
        pass
    await asyncio.sleep(0.01)
    assert budget._accounts == {}


async def test_turns_rest_after_an_answer_that_came_at_once(slow):
    handler = Budget(least_rest=0.05).within(slow)
    slow.go.set()
    began = asyncio.get_running_loop().time()
    for _ in range(2 * AT_ONCE + 1):
        await handler(Request(scope()))
    assert asyncio.get_running_loop().time() - began >= 0.1


async def test_turns_of_a_busy_client_rest_as_long_as_their_answers_took():
    async def handler(_):
        await asyncio.sleep(0.03)

    began = asyncio.get_running_loop().time()
    handle = Budget().within(handler)
    await asyncio.gather(*(handle(Request(scope())) for _ in range(2 * AT_ONCE)))
    assert asyncio.get_running_loop().time() - began >= 0.09


@pytest.mark.parametrize(("requests", "rests"), [(AT_ONCE // 2, False), (AT_ONCE // 2 + 1, True)])
async def test_a_turn_rests_if_more_than_half_of_them_are_under_way(slow, requests, rests):
    budget = Budget()
    handler, tasks = budget.within(slow), []
    for _ in range(requests):
        tasks.append(asyncio.create_task(handler(Request(scope()))))
        await asyncio.sleep(0.01)
    slow.go.set()
    await asyncio.gather(*tasks)
    assert bool(budget._accounts) is rests
    await asyncio.sleep(2 * REST)
    assert budget._accounts == {}


async def test_an_entry_of_a_batch_waits_for_no_second_turn(slow):
    budget = Budget()
    slow.go.set()
    with budget.booked(scope(), MOST) as turns:
        for _ in range(AT_ONCE):
            await turns.acquire()
        await asyncio.wait_for(budget.within(slow)(Request(paid(scope()))), 60)
        for _ in range(AT_ONCE):
            turns.release()


def test_a_client_is_known_by_its_id_and_without_one_by_its_address():
    assert client_key(scope("10.0.0.1", "viewer")) == client_key(scope("10.0.0.2", "viewer"))
    assert client_key(scope("10.0.0.1", "viewer")) != client_key(scope("10.0.0.1", "archive"))
    assert client_key(scope("10.0.0.1")) != client_key(scope("10.0.0.2"))
    assert client_key(scope("10.0.0.1")) != client_key(scope("10.0.0.2", "10.0.0.1"))
    assert client_key({"type": "http", "client": None}) == client_key({"type": "http"})


async def test_a_client_over_its_budget_is_told_when_to_come_again(stage, monkeypatch):
    monkeypatch.setattr(module, "MOST", 1)
    report = resource_id(stage.signed())
    patient = (await stage.get(f"DiagnosticReport/{report}")).json()["subject"]["reference"]
    assert (await stage.get(f"{patient}/$everything")).status_code == 200
    await asyncio.sleep(2 * REST)
    batch = {"resourceType": "Bundle", "type": "batch"}
    batch["entry"] = [{"request": {"method": "GET", "url": f"DiagnosticReport/{report}"}}] * 2
    response = await stage.client.post(BASE, json=batch, headers={"Content-Type": "application/fhir+json"})
    assert refusal(response) == (429, "error", "throttled")
    assert issue(response)["detail"] == "throttled"
    assert int(response.headers["retry-after"]) >= 1
    assert (await stage.get(f"{patient}/$everything")).status_code == 200


SEARCHES = ["DiagnosticReport?_lastUpdated=ge2020", "DiagnosticReport/_history", "_history"]


@pytest.mark.parametrize("path", SEARCHES)
async def test_searches_of_one_client_wait_for_one_another_and_not_those_of_others(path, stage, monkeypatch):
    assert (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).is_success
    engine, running, go = stage.app.state.facade.engine, [], asyncio.Event()
    scan = engine.scan

    async def scan_when_let_go(*arguments, **options):
        running.append(arguments)
        await go.wait()
        return await scan(*arguments, **options)

    monkeypatch.setattr(engine, "scan", scan_when_let_go)
    answers = [asyncio.create_task(stage.get(path)) for _ in range(2 * AT_ONCE)]
    await asyncio.sleep(0.2)
    assert len(running) == AT_ONCE
    monkeypatch.setattr("gateway.fhir_api.http.budget.client_key", lambda scope: ("id", "another"))
    answers.append(asyncio.create_task(stage.get(path)))
    await asyncio.sleep(0.2)
    assert len(running) == AT_ONCE + 1
    go.set()
    assert {one.status_code for one in await asyncio.gather(*answers)} == {200}
