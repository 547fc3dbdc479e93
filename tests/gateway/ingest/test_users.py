"""AutoScribe REST API, `GET /users/{userId}`: a user who is not found is normal."""

import pytest
from fakes.upstream import USER_ID, FakeUpstream, report_json, user_json

from gateway.ingest import read_through as module
from gateway.ingest.read_through import REMEMBERED_SECONDS, SingleFlight, Users
from gateway.runtime import clock
from gateway.runtime.errors import UpstreamFailed

OTHER = "usr_" + "7" * 32


@pytest.fixture
def seconds(monkeypatch):
    hand = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: hand[0])
    return hand


async def test_each_signer_is_asked_for_once_and_remembered_for_a_while(seconds):
    upstream = FakeUpstream()
    users = Users(upstream, SingleFlight())
    reports = [report_json("3"), report_json("4")]
    begun = clock.now()
    [first], no_issues = await users.of(reports)
    assert (first.user, no_issues) == (user_json(), [])
    assert begun <= first.at <= clock.now()
    assert await users.of(reports) == ([first], [])
    assert upstream.calls == [f"user {USER_ID}"]
    seconds[0] += REMEMBERED_SECONDS
    [again], _ = await users.of(reports)
    assert again.at > first.at
    assert len(upstream.calls) == 2


async def test_that_a_user_is_not_known_is_remembered_too(seconds):
    upstream = FakeUpstream()
    upstream.users = {}
    users = Users(upstream, SingleFlight())
    first = await users.get(USER_ID)
    assert (first.user, await users.get(USER_ID)) == (None, first)
    assert await users.of([report_json()]) == ([], [])
    assert upstream.calls == [f"user {USER_ID}"]


async def test_what_is_remembered_does_not_count_for_who_asks_anew(seconds):
    upstream = FakeUpstream()
    users = Users(upstream, SingleFlight())
    await users.get(USER_ID)
    await users.get(USER_ID, anew=True)
    assert upstream.calls == [f"user {USER_ID}"] * 2


async def test_a_user_who_cannot_be_asked_for_is_said_and_not_remembered(seconds):
    upstream = FakeUpstream()
    upstream.users[OTHER] = UpstreamFailed("GET /users/{userId}", status=500)
    users = Users(upstream, SingleFlight())
    signers, issues = await users.of([report_json("3"), report_json("4", userId=OTHER)])
    assert [one.user for one in signers] == [user_json()]
    assert [(one.code, one.severity, one.pointer) for one in issues] == [
        ("user-unavailable", "warning", "/reports/1/userId")
    ]
    upstream.users[OTHER] = user_json(userId=OTHER)
    assert len((await users.of([report_json("4", userId=OTHER)]))[0]) == 1


async def test_a_failure_that_is_not_the_upstreams_is_not_swallowed():
    class Broken(FakeUpstream):
        async def user(self, user_id):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Users(Broken(), SingleFlight()).of([report_json()])


async def test_only_so_many_are_remembered(seconds, monkeypatch):
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    upstream = FakeUpstream()
    ids = [f"usr_{digit * 32}" for digit in "789"]
    upstream.users = {one: user_json(userId=one) for one in ids}
    users = Users(upstream, SingleFlight())
    for user_id in (*ids, *ids[1:], ids[0]):
        await users.get(user_id)
    assert upstream.calls == [f"user {one}" for one in (*ids, ids[0])]
