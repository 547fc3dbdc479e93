"""Accounts and sessions of the console, on both databases: how a session begins, and each way in which it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.store import rows

from gateway.store.clients import IDLE, LONGEST, ConsoleSession, StoredOperator, StoredOperators, StoredTokens

NOW = 2_000_000_000_000_000
KIM = StoredOperator("kim", "operator", "$argon2id$one", NOW, NOW)
OF_KIM = ConsoleSession("local:kim", "kim", "kim", (), NOW)
OF_LEE = ConsoleSession("oidc:248", "Lee", None, ("radiology",), NOW)


@pytest.fixture
async def stored(engine):
    made = StoredOperators(engine)
    assert await made.add(KIM, "new colleague") == "done"
    return made


async def begun(stored, digest="one", session=OF_KIM, former="", checked=KIM):
    return await stored.begin(digest, session, None, former, checked if session.account else None)


async def test_an_account_is_found_by_its_name_which_nobody_else_can_take(stored):
    assert await stored.find("kim") == KIM
    assert await stored.find("Kim") is None
    assert await stored.add(replace(KIM, role="admin"), "") == "name-taken"
    assert await stored.every() == [KIM]
    assert "argon2id" not in repr(KIM)


async def test_acts_on_accounts_are_noted_with_their_reason(stored, engine):
    await stored.set_password("kim", "$argon2id$two", "forgotten", NOW + 1)
    await stored.remove("kim", "left", NOW + 2)
    assert await stored.remove("kim", "left", NOW + 3) == "unknown"
    assert await stored.set_password("kim", "x", "", NOW + 3) == "unknown"
    noted = await rows(engine, "SELECT verb, argument, reason FROM audit ORDER BY number")
    assert [tuple(one) for one in noted] == [
        ("operator-add", "kim", "new colleague"),
        ("operator-password", "kim", "forgotten"),
        ("operator-remove", "kim", "left"),
    ]


async def test_a_session_has_the_role_that_its_account_has_now(stored):
    assert await begun(stored)
    assert await stored.session("one", NOW) == replace(OF_KIM, seen=NOW, role="operator")
    assert await stored.session("two", NOW) is None


async def test_a_session_of_the_identity_provider_keeps_the_groups_of_the_sign_in(stored):
    assert await begun(stored, session=OF_LEE)
    assert await stored.session("one", NOW) == replace(OF_LEE, seen=NOW)


async def test_a_session_ends_when_it_is_idle_and_after_its_longest_time_although_it_is_used(stored):
    await begun(stored)
    assert await stored.session("one", NOW + IDLE - 1)
    assert await stored.session("one", NOW + IDLE) is None
    for at in range(NOW, NOW + LONGEST, IDLE // 2):
        await stored.keep("one", at)
    assert await stored.session("one", NOW + LONGEST - 1)
    assert await stored.session("one", NOW + LONGEST) is None


async def test_what_is_noted_late_of_a_session_does_not_shorten_it(stored):
    await begun(stored)
    await stored.keep("one", NOW + 10)
    await stored.keep("one", NOW + 5)
    assert (await stored.session("one", NOW + 10)).seen == NOW + 10


async def test_sessions_end_with_their_account_and_a_new_account_of_that_name_does_not_revive_them(stored):
    await begun(stored)
    await begun(stored, "two", OF_LEE)
    await stored.remove("kim", "left", NOW)
    await stored.add(replace(KIM, role="admin", created=NOW + 1), "")
    assert await stored.session("one", NOW) is None
    assert await stored.session("two", NOW)


async def test_a_new_password_ends_the_sessions_and_unlocks_the_account(stored):
    await begun(stored)
    await stored.failed("kim", lambda _: NOW + 60)
    await stored.set_password("kim", "$argon2id$two", "", NOW + 1)
    assert await stored.session("one", NOW) is None
    found = await stored.find("kim")
    assert (found.password, found.failures, found.locked_until) == ("$argon2id$two", 0, 0)


async def test_a_sign_in_that_began_before_the_account_was_changed_gets_no_session(stored):
    checked = await stored.find("kim")
    await stored.set_password("kim", "$argon2id$two", "", NOW + 1)
    assert not await begun(stored, checked=checked)
    await stored.remove("kim", "", NOW + 2)
    assert not await begun(stored, checked=checked)
    assert await stored.session("one", NOW) is None


async def test_failures_in_a_row_are_counted_until_a_sign_in(stored):
    locks = []
    for _ in range(3):
        failed = await stored.failed("kim", lambda failures: locks.append(failures) or NOW + failures)
    assert (failed.failures, failed.locked_until, set(locks)) == (3, NOW + 3, {1, 2, 3})
    assert await begun(stored)
    assert (await stored.find("kim")).failures == 0
    assert await stored.failed("nobody", lambda _: 0) is None


async def test_a_sign_in_ends_the_former_session_of_the_browser(stored):
    await begun(stored)
    await begun(stored, "two", former="one")
    assert await stored.session("one", NOW) is None
    assert await stored.session("two", NOW)


async def test_a_session_is_ended_once_and_gives_back_its_hint(stored):
    await stored.begin("one", OF_LEE, b"hint", "", None)
    assert (await stored.end("one"), await stored.end("one")) == (b"hint", None)
    assert await stored.session("one", NOW) is None


async def test_all_sessions_of_a_subject_end_and_no_other(stored, engine):
    for digest in ("one", "two"):
        await begun(stored, digest, OF_LEE)
    await begun(stored, "three")
    assert [await stored.end_all("oidc:248", "left", NOW) for _ in range(2)] == [2, 0]
    noted = await rows(engine, "SELECT verb, argument, reason FROM audit")
    assert noted[1:] == [("operator-sign-out", "oidc:248", "left")]
    assert await stored.session("three", NOW)


async def test_sessions_that_were_idle_are_deleted_with_expired_tokens(stored, engine):
    await begun(stored)
    await begun(stored, "two", replace(OF_LEE, began=NOW + 10))
    await StoredTokens(engine).forget(NOW + IDLE + 5)
    assert [tuple(one) for one in await rows(engine, "SELECT digest FROM console_session")] == [("two",)]
