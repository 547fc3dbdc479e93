"""Passwords of local accounts are hashed by argon2id, and checked one at a time, with bounds on who may try.

RFC 9106 §4, NIST SP 800-63B-4 §3.1.1.2.
"""

from __future__ import annotations

import asyncio

import pytest
from fakes.console_site import PASSWORD, ConsoleSite
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import operators
from gateway.auth.operators import (
    MOST_WAITING,
    LocalAccounts,
    Refused,
    Role,
    SignedIn,
    SignInBounds,
    hashed,
    password_fault,
)


async def test_a_password_is_stored_as_argon2id_with_a_salt_of_its_own(sqlite_engine):
    site = ConsoleSite(sqlite_engine)
    account, other = await site.add(), await site.add("lee")
    assert account.password.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert account.password.rpartition("$")[2] != other.password.rpartition("$")[2]
    assert (await LocalAccounts(site.stored).checked("kim", PASSWORD)).subject == "local:kim"


async def test_letters_that_look_the_same_are_the_same_in_a_password(sqlite_engine):
    site = ConsoleSite(sqlite_engine)
    await site.add(password="ein schöner Bahnhof")
    assert await LocalAccounts(site.stored).checked("kim", "ein scho\u0308ner Bahnhof")


async def test_few_wait_for_the_one_password_that_is_checked(sqlite_engine, monkeypatch):
    monkeypatch.setattr(operators, "_is_of", lambda *_: False)
    monkeypatch.setattr(operators, "hashed", lambda _: "")
    accounts = LocalAccounts(ConsoleSite(sqlite_engine).stored)
    tried = await asyncio.gather(*(accounts.checked("kim", "x") for _ in range(50)), return_exceptions=True)
    codes = [one.code for one in tried if isinstance(one, Refused)]
    assert (codes.count("unknown"), codes.count("too-many")) == (MOST_WAITING, 50 - MOST_WAITING)
    with pytest.raises(Refused, match="unknown"):
        await accounts.checked("kim", "x")


def test_an_address_may_try_again_after_a_while_and_others_meanwhile():
    now = 0.0
    bounds = SignInBounds(lambda: now)
    for _ in range(10):
        bounds.take("10.0.0.1")
    for _ in range(5):
        with pytest.raises(Refused, match="too-many"):
            bounds.take("10.0.0.1")
    bounds.take("10.0.0.2")
    now = 5.9
    with pytest.raises(Refused):
        bounds.take("10.0.0.1")
    now = 6.1
    bounds.take("10.0.0.1")


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=3_000))
def test_all_addresses_together_have_a_bound_that_their_number_does_not_move(addresses):
    bounds, taken = SignInBounds(lambda: 0.0), 0
    for one in addresses:
        try:
            bounds.take(one)
            taken += 1
        except Refused:
            continue
    assert taken <= 20 and len(bounds._left) <= 1_025


def test_a_new_password_is_long_and_not_one_letter():
    assert "15 to 256" in password_fault("short") and "15 to 256" in password_fault("x" * 257)
    assert "different" in password_fault("ab" * 20)
    assert password_fault(PASSWORD) == ""


def test_a_role_may_do_what_the_roles_before_it_may_and_a_watcher_sees_no_patient():
    roles = [Role.named(one) for one in ("watcher", "reader", "operator", "admin")]
    assert roles == sorted(roles) == list(Role)
    seen = [SignedIn("local:kim", "kim", one, "digest") for one in roles]
    assert [one.sees_patients for one in seen] == [False, True, True, True]
    assert "digest" not in repr(seen)


def test_a_hash_that_is_none_is_nobodys():
    assert operators._is_of("", PASSWORD) is False
    assert operators._is_of(hashed(PASSWORD), PASSWORD) is True
    assert operators._is_of(hashed(""), "x" * 10_000) is False
