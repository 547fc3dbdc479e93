"""Local accounts of the console are added and removed by command; no password is an argument, or is shown."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest
from fakes.commanded import Site
from fakes.console_site import PASSWORD, ConsoleSite
from fakes.gateway_process import environment, site_file

from gateway.cli import operators

AUDIT = "SELECT verb, argument, reason FROM audit ORDER BY number"


@pytest.fixture
def site(tmp_path, capsys, monkeypatch):
    """Return commands with a database and an audit, to which a password is piped."""
    env = environment("http://127.0.0.1:1", f"sqlite:///{tmp_path / 'gateway.db'}", site_file(tmp_path))
    env["GATEWAY_AUTH__MODE"] = "builtin"
    own = {name: value for name, value in env.items() if os.environ.get(name) != value}
    piped(monkeypatch)
    return Site(None, own, tmp_path, capsys)


def piped(monkeypatch, password=PASSWORD):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\nnot this line\n"))


async def listed(site):
    code, out, _ = await site.run("operators", "list", "--json")
    assert code == 0
    return json.loads(out)["operators"]


async def test_an_account_is_added_and_signs_in_with_the_password_that_was_piped(site):
    code, out, err = await site.run("operators", "add", "k.miller", "--role", "reader", "--reason", "new colleague")
    assert (code, out, err) == (0, "k.miller may sign in as reader\n", "")
    [one] = await listed(site)
    assert (one["name"], one["role"], one["lockedUntil"]) == ("k.miller", "reader", None)
    async with site.store() as engine:
        browser = ConsoleSite(engine).browser()
        await browser.sign_in("K.Miller")
        assert await browser.role() == "k.miller READER"
    assert await site.query(AUDIT) == [("operator-add", "k.miller", "new colleague")]
    assert PASSWORD not in site.database.read_bytes().decode("latin-1")


async def test_an_account_is_removed_and_may_be_added_again_with_another_role(site, monkeypatch):
    await site.run("operators", "add", "kim", "--role", "reader")
    piped(monkeypatch)
    code, _, err = await site.run("operators", "add", "kim", "--role", "admin")
    assert (code, "another account has this name" in err) == (2, True)
    assert (await site.run("operators", "remove", "kim", "--reason", "left"))[
        1
    ] == "kim is removed; its sessions are over\n"
    piped(monkeypatch)
    assert (await site.run("operators", "add", "kim", "--role", "admin"))[0] == 0
    assert [one["role"] for one in await listed(site)] == ["admin"]


async def test_the_sessions_of_somebody_are_ended_by_command(site):
    await site.run("operators", "add", "kim", "--role", "reader")
    async with site.store() as engine:
        browser = ConsoleSite(engine).browser()
        await browser.by_provider()
        assert await browser.role() == "Ann Lee READER"
        words = ("operators", "sign-out", "oidc:248-1", "--reason", "left")
        assert await site.run(*words) == (0, "oidc:248-1 is signed out; 1 session ended\n", "")
        assert await browser.role() == ""
    code, _, err = await site.run(*words)
    assert (code, "nobody of this name is signed in" in err) == (2, True)


async def test_a_new_password_unlocks_an_account_and_the_list_shows_the_lock(site, monkeypatch):
    await site.run("operators", "add", "kim", "--role", "reader")
    async with site.store() as engine:
        await ConsoleSite(engine).stored.failed("kim", lambda _: 2**52)
    assert "locked until" in (await site.run("operators", "list"))[1]
    piped(monkeypatch, "another three words")
    assert (await site.run("operators", "password", "kim"))[1] == "kim has a new password; its sessions are over\n"
    code, out, _ = await site.run("operators", "list")
    assert (code, "locked" in out, out.endswith("1 operators\n")) == (0, False, True)


@pytest.mark.parametrize(
    ("words", "password", "said"),
    [
        (("add", "Kim", "--role", "reader"), PASSWORD, "NAME: not 1 to 64 small letters"),
        (("add", "kim", "--role", "reader"), "short", "password: it has not 15 to 256 characters"),
        (("add", "kim", "--role", "reader"), "", "password: it has not 15 to 256 characters"),
        (("add", "kim", "--role", "root"), PASSWORD, "--role"),
        (("password", "nobody"), PASSWORD, "no account has this name"),
        (("remove", "nobody", "--reason", "x"), PASSWORD, "no account has this name"),
    ],
)
async def test_what_cannot_be_right_is_refused_and_a_password_is_never_shown(site, monkeypatch, words, password, said):
    piped(monkeypatch, password)
    code, out, err = await site.run("operators", *words)
    assert (code, out, said in err) == (2, "", True), err
    assert not password or password not in err


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(monkeypatch):
    monkeypatch.setattr(sys, "stdin", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})())
    asked = []
    monkeypatch.setattr(operators.typer, "prompt", lambda text, **how: asked.append((text, how)) or PASSWORD)
    assert operators._password() == PASSWORD
    assert asked == [("Password", {"hide_input": True, "confirmation_prompt": True})]
