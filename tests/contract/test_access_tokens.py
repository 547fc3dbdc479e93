"""Tokens are found by their digest alone, and an assertion counts once, over all processes of a database.

RFC 7523 §3, RFC 7009.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from fakes.store import rows

from gateway.store.clients import ClientKeySet, RegisteredClient, StoredClients, StoredTokens, TokenRecord, digest_of

NOW = 1_000_000
LATER = NOW + 60
ANN = RegisteredClient("c1", "Ann's", "system/*.rs", ("City",), NOW, None, None, (ClientKeySet("{}"),))
TOKEN = TokenRecord(digest_of("secret"), "c1", "system/*.r", NOW, LATER)


async def with_client(engine, **changes):
    await StoredClients(engine).add(replace(ANN, **changes), "")
    return StoredTokens(engine)


async def test_a_token_is_found_with_its_scopes_and_the_facilities_of_its_client_until_it_expires(engine):
    tokens = await with_client(engine)
    assert await tokens.issue(TOKEN, "a", LATER) == "issued"
    assert await tokens.find(TOKEN.digest, LATER - 1) == replace(TOKEN, facilities=("City",))
    assert await tokens.find(TOKEN.digest, LATER) is None
    assert await tokens.find(digest_of("Secret"), NOW) is None
    assert "secret" not in str(await rows(engine, "SELECT * FROM access_token"))


async def test_a_token_ends_with_its_client(engine):
    tokens = await with_client(engine, expires=NOW + 10)
    await tokens.issue(TOKEN, "a", LATER)
    assert await tokens.find(TOKEN.digest, NOW + 9) is not None
    assert await tokens.find(TOKEN.digest, NOW + 10) is None
    assert await tokens.issue(replace(TOKEN, digest="b", issued=NOW + 10), "b", LATER) == "not-active"


async def test_an_assertion_counts_once_and_a_replay_issues_nothing(engine):
    tokens = await with_client(engine)
    assert await tokens.issue(TOKEN, "a", LATER) == "issued"
    assert await tokens.issue(replace(TOKEN, digest="other"), "a", LATER) == "replayed"
    assert await tokens.use("a", LATER) is False
    assert (await tokens.use("b", LATER), await tokens.use("b", LATER)) == (True, False)
    assert await tokens.find("other", NOW) is None


async def test_of_many_replays_in_several_processes_one_gets_a_token(engines):
    async with AsyncExitStack() as stack:
        several = [engines() for _ in range(3)]
        for engine in several:
            await stack.enter_async_context(engine.opened())
        await with_client(several[0])
        tokens = [StoredTokens(engine) for engine in several * 10]
        issued = await asyncio.gather(
            *(one.issue(replace(TOKEN, digest=str(at)), "a", LATER) for at, one in enumerate(tokens))
        )
    assert sorted(issued) == ["issued", *["replayed"] * 29]


async def test_a_client_revokes_its_own_tokens_alone(engine):
    tokens = await with_client(engine)
    await tokens.issue(TOKEN, "a", LATER)
    assert await tokens.revoke(TOKEN.digest, "c2", NOW) is False
    assert await tokens.find(TOKEN.digest, NOW) is not None
    assert await tokens.revoke(TOKEN.digest, "c1", NOW) is True
    assert await tokens.revoke(TOKEN.digest, "c1", NOW) is False
    assert await tokens.find(TOKEN.digest, NOW) is None


async def test_what_has_expired_is_deleted_and_nothing_else(engine):
    tokens = await with_client(engine)
    for digest, until in (("old", NOW), ("new", LATER)):
        await tokens.issue(replace(TOKEN, digest=digest, expires=until), digest, until)
    await tokens.forget(LATER)
    assert await rows(engine, "SELECT digest FROM access_token") == [("new",)]
    assert await rows(engine, "SELECT digest FROM used_assertion") == [("new",)]
    assert await tokens.use("new", LATER) is False


@pytest.mark.parametrize("token", ["", "\0", "\ud800", "é"])
def test_any_text_has_a_digest(token):
    assert len(digest_of(token)) == 64


def test_a_token_shows_no_digest_of_itself():
    assert TOKEN.digest not in repr(TOKEN)
