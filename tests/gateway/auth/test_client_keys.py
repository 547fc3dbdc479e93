"""Keys at a URL are kept for minutes, found soon after a rotation, and never fetched in a herd.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import asyncio

import pytest
from fakes.assertions import jwks

from gateway.auth import client_keys
from gateway.auth.client_keys import BELIEVED, BETWEEN, FRESH, KeySets
from gateway.auth.key_set_fetch import KeySetUnreachable
from gateway.store.clients import ClientKeySet, RegisteredClient

URL = "https://jwks.example/"


def client(*sets):
    return RegisteredClient("c", "C", "system/*.rs", None, 1, key_sets=sets)


AT_URL = client(ClientKeySet(url=URL))


class Host:
    """Host of a key set that a test changes, and a clock that it turns."""

    def __init__(self, *names):
        self.document, self.asked, self.at = jwks(*names), [], 1_000.0
        self.sets = KeySets(self.fetch, lambda: self.at)

    async def fetch(self, url):
        self.asked.append(url)
        await asyncio.sleep(0)
        if self.document is None:
            raise KeySetUnreachable("no-answer")
        return self.document

    async def knows(self, name, of=AT_URL):
        return bool(await self.sets.find(of, name, name.split(maxsplit=1)[0]))


async def test_a_registered_document_needs_no_host():
    host = Host()
    inline = client(ClientKeySet(jwks("RS384 a").decode()))
    assert await host.knows("RS384 a", inline)
    assert not await host.knows("RS384 b", inline)
    assert host.asked == []


async def test_a_registered_document_that_cannot_be_used_any_more_has_no_keys_and_makes_no_error():
    host = Host()
    assert not await host.knows("RS384 a", client(ClientKeySet("{}"), ClientKeySet(None)))


async def test_a_document_at_a_url_is_fetched_once_in_five_minutes():
    host = Host("RS384 a")
    for _ in range(3):
        assert await host.knows("RS384 a")
    host.at += FRESH - 1
    assert await host.knows("RS384 a")
    assert len(host.asked) == 1
    host.at += 1
    assert await host.knows("RS384 a")
    assert len(host.asked) == 2


async def test_an_unknown_key_has_the_document_fetched_again_but_at_most_once_in_thirty_seconds():
    host = Host("RS384 a")
    assert await host.knows("RS384 a")
    host.document = jwks("RS384 a", "RS384 b")
    host.at += BETWEEN - 1
    assert not await host.knows("RS384 b")
    assert len(host.asked) == 1
    host.at += 1
    assert await host.knows("RS384 b")
    for number in range(50):
        assert not await host.knows(f"RS384 {number}")
    assert len(host.asked) == 2


async def test_a_key_is_valid_until_the_document_without_it_is_fetched():
    host = Host("RS384 a")
    assert await host.knows("RS384 a")
    host.document = jwks("RS384 b")
    host.at += FRESH - 1
    assert await host.knows("RS384 a")
    assert await host.knows("RS384 b")
    assert not await host.knows("RS384 a")


async def test_while_the_host_is_down_known_keys_stay_valid_for_a_day_and_no_longer():
    host = Host("RS384 a")
    assert await host.knows("RS384 a")
    for host.document in (None, b"no key set"):
        host.at += FRESH
        assert await host.knows("RS384 a")
    host.at = 1_000 + BELIEVED
    assert not await host.knows("RS384 a")
    host.document = jwks("RS384 a")
    assert not await host.knows("RS384 a"), "a host that failed is not asked again at once"
    host.at += BETWEEN
    assert await host.knows("RS384 a")


async def test_many_who_ask_at_once_have_it_fetched_once():
    host = Host("RS384 a")
    assert all(await asyncio.gather(*(host.knows("RS384 a") for _ in range(50))))
    assert len(host.asked) == 1


async def test_one_who_goes_away_takes_the_document_from_nobody():
    host = Host("RS384 a")
    asking = asyncio.create_task(host.knows("RS384 a"))
    await asyncio.sleep(0)
    other = asyncio.create_task(host.knows("RS384 a"))
    await asyncio.sleep(0)
    asking.cancel()
    assert await other
    assert len(host.asked) == 1


async def test_during_a_rotation_the_keys_of_both_sets_are_found_even_under_one_id():
    host = Host("RS384 a")
    both = client(ClientKeySet(url=URL), ClientKeySet(jwks("RS384 a", "ES384 a").decode()))
    assert len(await host.sets.find(both, "RS384 a", "RS384")) == 2
    assert len(await host.sets.find(both, "ES384 a", "ES384")) == 1


async def test_only_so_many_urls_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_keys, "MOST_URLS", 2)
    host = Host("RS384 a")
    for number in (1, 2, 3, 1):
        assert await host.knows("RS384 a", client(ClientKeySet(url=f"{URL}{number}")))
    assert len(host.asked) == 4
