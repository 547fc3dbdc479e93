"""Clients are registered, disabled and given new keys, in both databases, and each act stands in the audit.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from fakes.store import rows

from gateway.store.clients import ClientKeySet, RegisteredClient, StoredClients, StoredTokens, TokenRecord

NOW = 1_000_000
LATER = NOW + 60
ANN = RegisteredClient("c1", "Ann's", "system/*.rs", ("City",), NOW, None, None, (ClientKeySet('{"keys": []}'),))
AUDIT = "SELECT verb, argument, reason FROM audit ORDER BY at, verb"
FIRST, SECOND, THIRD = (ClientKeySet(url=f"https://{name}.example/jwks") for name in ("first", "second", "third"))


def urls(client):
    return [one.url for one in client.key_sets]


async def test_a_client_is_found_as_it_was_registered(engine):
    clients = StoredClients(engine)
    assert await clients.add(ANN, "contract 7") == "done"
    bob = replace(ANN, client_id="c2", name="Bob's", facilities=None, expires=LATER, key_sets=(FIRST,))
    assert await clients.add(bob, "") == "done"
    found = await clients.find("c1", NOW)
    assert replace(found, key_sets=()) == replace(ANN, key_sets=())
    assert found.key_sets == (ClientKeySet('{"keys": []}', None, NOW, None),)
    assert [one.client_id for one in await clients.every(NOW)] == ["c1", "c2"]
    assert (await clients.find("c2", NOW)).facilities is None
    assert await rows(engine, AUDIT) == [("client-add", "c1", "contract 7"), ("client-add", "c2", "")]


async def test_an_unknown_id_finds_nothing_whatever_characters_it_has(engine):
    clients = StoredClients(engine)
    for name in ("c1", "", "\0", "\ud800", "' OR 1=1 --"):
        assert await clients.find(name, NOW) is None


async def test_a_name_is_registered_once(engine):
    clients = StoredClients(engine)
    await clients.add(ANN, "")
    assert await clients.add(replace(ANN, client_id="c2"), "") == "name-taken"
    assert [one.client_id for one in await clients.every(NOW)] == ["c1"]
    assert len(await rows(engine, AUDIT)) == 1


async def test_a_disabled_client_is_not_active_until_it_is_enabled_and_its_tokens_stay_revoked(engine):
    clients, tokens = StoredClients(engine), StoredTokens(engine)
    await clients.add(ANN, "")
    await tokens.issue(TokenRecord("d", "c1", "system/*.rs", NOW, LATER), "a", LATER)
    assert await tokens.find("d", NOW) is not None
    assert await clients.disable("c1", "stolen", NOW + 1) == "done"
    assert await clients.disable("c1", "stolen", NOW + 2) == "unchanged"
    assert not (await clients.find("c1", NOW)).is_active(NOW)
    assert await tokens.find("d", NOW) is None
    assert await clients.enable("c1", "new key", NOW + 3) == "done"
    assert await clients.enable("c1", "new key", NOW + 3) == "unchanged"
    assert (await clients.find("c1", NOW)).is_active(NOW)
    assert await tokens.find("d", NOW) is None
    assert (await rows(engine, AUDIT))[1:] == [("client-disable", "c1", "stolen"), ("client-enable", "c1", "new key")]


async def test_no_token_is_issued_beside_the_disabling_of_its_client(engines):
    async with AsyncExitStack() as stack:
        several = [engines() for _ in range(2)]
        for engine in several:
            await stack.enter_async_context(engine.opened())
        await StoredClients(several[0]).add(ANN, "")
        issuing = [
            StoredTokens(several[number % 2]).issue(
                TokenRecord(f"d{number}", "c1", "system/*.rs", NOW, LATER), f"a{number}", LATER
            )
            for number in range(20)
        ]
        await asyncio.gather(*issuing[:10], StoredClients(several[1]).disable("c1", "", NOW), *issuing[10:])
        assert [await StoredTokens(several[0]).find(f"d{number}", NOW) for number in range(20)] == [None] * 20
        assert await rows(several[0], "SELECT count(*) FROM access_token WHERE revoked IS NULL") == [(0,)]


async def test_an_expired_client_is_not_active(engine):
    clients = StoredClients(engine)
    await clients.add(replace(ANN, expires=LATER), "")
    client = await clients.find("c1", NOW)
    assert (client.is_active(LATER - 1), client.is_active(LATER)) == (True, False)


async def test_two_key_sets_are_valid_at_once_until_the_older_one_ends_by_itself(engine):
    clients = StoredClients(engine)
    await clients.add(replace(ANN, key_sets=(FIRST,)), "")
    assert await clients.rotate("c1", SECOND, LATER, "yearly", NOW) == "done"
    assert urls(await clients.find("c1", LATER - 1)) == [FIRST.url, SECOND.url]
    assert await clients.rotate("c1", THIRD, None, "", LATER - 1) == "too-many-key-sets"
    assert urls(await clients.find("c1", LATER)) == [SECOND.url]
    assert await clients.rotate("c1", THIRD, None, "", LATER) == "done"
    assert urls(await clients.find("c1", LATER * 9)) == [SECOND.url, THIRD.url]
    assert await rows(engine, "SELECT url FROM client_key_set ORDER BY number") == [(SECOND.url,), (THIRD.url,)]


async def test_the_older_key_set_goes_by_command(engine):
    clients = StoredClients(engine)
    await clients.add(replace(ANN, key_sets=(FIRST,)), "")
    assert await clients.finish_rotation("c1", "", NOW) == "unchanged"
    await clients.rotate("c1", SECOND, None, "yearly", NOW)
    assert await clients.finish_rotation("c1", "done", NOW + 1) == "done"
    assert urls(await clients.find("c1", NOW)) == [SECOND.url]
    acts = [("client-rotate", "c1", "yearly"), ("client-rotate-finish", "c1", "done")]
    assert (await rows(engine, AUDIT))[1:] == acts


async def test_nothing_can_be_done_with_a_client_that_is_not_there(engine):
    clients = StoredClients(engine)
    acts = (clients.disable, clients.enable, clients.finish_rotation)
    assert {await act("c9", "", NOW) for act in acts} == {"unknown"}
    assert await clients.rotate("c9", FIRST, None, "", NOW) == "unknown"
    assert await rows(engine, AUDIT) == []
