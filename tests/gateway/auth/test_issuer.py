"""Keys of the issuer are asked for again when they are new, and believed for a day when it is silent.

OpenID Connect Core 1.0 §10.1.1.
"""

from __future__ import annotations

import asyncio

import pytest
from fakes.issuer import DISCOVERY_URL, ISSUER, JWKS_URL, Documents
from structlog.testing import capture_logs

from gateway.auth.issuer import BELIEVED, BETWEEN, EVERY, PATIENCE, Issuer
from gateway.auth.token_cache import PATIENCE as CACHE_PATIENCE
from gateway.runtime.errors import IssuerUnavailable


class Known:
    """An issuer as the gateway knows it, and a clock that a test turns."""

    def __init__(self, *keys, jwks_url=None):
        self.documents, self.at = Documents(*keys), 1_000.0
        self.issuer = Issuer(self.documents.fetch, ISSUER, jwks_url, lambda: self.at)

    async def knows(self, name):
        return bool(await self.issuer.key(name, name.split(maxsplit=1)[0]))

    @property
    def asked(self):
        return self.documents.asked.count(JWKS_URL)


async def test_the_keys_are_found_by_discovery_once_for_all_who_ask():
    known = Known()
    assert all(await asyncio.gather(*(known.knows("RS256 a") for _ in range(50))))
    assert known.documents.asked == [DISCOVERY_URL, JWKS_URL]


async def test_with_a_url_of_keys_a_missing_discovery_document_does_no_harm():
    known = Known(jwks_url=JWKS_URL)
    known.documents.by_url[DISCOVERY_URL] = None
    assert await known.knows("RS256 a")
    with pytest.raises(IssuerUnavailable):
        await known.issuer.discovery()


async def test_an_rsa_key_without_alg_serves_each_algorithm_of_rsa_and_one_with_alg_only_that():
    known = Known()
    known.documents.has_keys("RS256 a")
    assert await known.issuer.key("RS256 a", "PS384")
    known.documents.has_keys("RS256 a", alg="RS256")
    await known.issuer.renew()
    assert await known.issuer.key("RS256 a", "RS256")
    assert await known.issuer.key("RS256 a", "PS384") is None
    assert await known.issuer.key("RS256 a", "ES256") is None


async def test_a_new_key_is_asked_for_once_and_found():
    known = Known()
    assert await known.knows("RS256 a")
    known.documents.has_keys("RS256 a", "ES384 b")
    known.at += BETWEEN
    assert await known.knows("ES384 b")
    assert await known.knows("RS256 a")
    assert known.asked == 2


async def test_a_key_of_nobody_has_the_issuer_asked_once_in_ten_seconds():
    known = Known()
    for second in range(100):
        known.at = 1_000.0 + second
        assert not await known.knows(f"RS256 {second}")
    assert known.asked == 100 / BETWEEN == 10


async def test_a_key_is_valid_until_a_key_set_without_it_comes():
    known = Known("RS256 a", "RS256 b")
    assert await known.knows("RS256 a")
    known.documents.has_keys("RS256 b")
    assert await known.knows("RS256 a")
    await known.issuer.renew()
    assert not await known.knows("RS256 a")
    assert EVERY <= 300


@pytest.mark.parametrize("what", [DISCOVERY_URL, JWKS_URL])
@pytest.mark.parametrize("answer", [None, b"{}", b"no JSON", b'{"keys": []}'])
async def test_known_keys_are_good_for_a_day_without_an_answer_and_then_nobody_guesses(what, answer):
    known = Known()
    assert await known.knows("RS256 a")
    known.documents.by_url[what] = answer
    known.at += BELIEVED - 1
    with capture_logs() as logs:
        await known.issuer.renew()
    assert [one["event"] for one in logs] == ["issuer-not-read"]
    assert await known.knows("RS256 a")
    with pytest.raises(IssuerUnavailable):
        await known.knows("RS256 b")
    known.at += 1
    with pytest.raises(IssuerUnavailable):
        await known.knows("RS256 a")


async def test_an_issuer_that_comes_back_is_asked_within_ten_seconds():
    known = Known()
    before = dict(known.documents.by_url)
    known.documents.is_silent()
    with pytest.raises(IssuerUnavailable):
        await known.knows("RS256 a")
    known.documents.by_url = before
    known.at += BETWEEN - 1
    with pytest.raises(IssuerUnavailable):
        await known.knows("RS256 a")
    known.at += 1
    assert await known.knows("RS256 a")


async def test_a_request_waits_a_little_for_a_slow_issuer_and_the_answer_serves_the_next(monkeypatch):
    monkeypatch.setattr("gateway.auth.issuer.PATIENCE", 0.01)
    known, go = Known(), asyncio.Event()
    fetch = known.documents.fetch

    async def slow(url):
        await go.wait()
        return await fetch(url)

    known.issuer._fetch = slow
    with pytest.raises(IssuerUnavailable):
        await known.knows("RS256 a")
    go.set()
    await known.issuer.renew()
    assert await known.knows("RS256 a")
    assert known.asked == 1
    assert PATIENCE < CACHE_PATIENCE, "else the answer would blame the database"


async def test_one_who_goes_away_takes_the_keys_from_nobody():
    known = Known()
    first, second = asyncio.ensure_future(known.knows("RS256 a")), asyncio.ensure_future(known.knows("RS256 a"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
