"""Sign-in, sessions and sign-out of the console, by local accounts and by the identity provider."""

from __future__ import annotations

from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from fakes.console_site import OPENED, PASSWORD, ROOT, ConsoleSite, console_settings
from fakes.identity_provider import ISSUER
from fakes.store import rows

from gateway.auth import operators
from gateway.auth.console_gate import ContentPolicy, console_gate, console_headers, hash_source
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.settings import Settings
from gateway.store.clients import IDLE, LONGEST


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """Make hashes that take no time; tests/gateway/auth/test_console_accounts.py has the true ones."""
    monkeypatch.setattr(operators, "_HASHER", PasswordHasher(1, 8, 1))


@pytest.fixture
def site(sqlite_engine):
    return ConsoleSite(sqlite_engine)


@pytest.fixture
def later(monkeypatch):
    """Return a function that moves the clock on by microseconds."""
    passed, now = timedelta(), clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + passed)

    def move(microseconds):
        nonlocal passed
        passed += timedelta(microseconds=microseconds)

    return move


async def test_a_local_account_signs_in_by_its_password_and_out_again(site):
    await site.add("kim", "operator")
    browser = site.browser()
    page = await browser.open("/console/sign-in", to="ignored")
    assert (page.status_code, page.text.split("\n")[2]) == (200, "True")
    answer = await browser.sign_in(" Kim ", to="/console/admin?tab=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/admin?tab=2")
    assert await browser.role() == "kim OPERATOR"
    out = await browser.post("/console/sign-out")
    assert (out.status_code, out.headers["location"]) == (303, "/console/sign-in?signed-out")
    assert await browser.role() == ""
    assert "True" in (await browser.open("/console/sign-in?signed-out")).text.split("\n")[4]
    assert site.noted() == [("login", "local:kim", 200, ""), ("logout", "local:kim", 200, "")]


async def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back_but_a_poll_is_only_refused(site):
    await site.add()
    browser = site.browser()
    answer = await browser.open("/console/?since=1h")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in?to=%2Fconsole%2F%3Fsince%3D1h")
    shown = await browser.open(answer.headers["location"])
    assert shown.text.split("\n")[1] == "/console/?since=1h"
    assert (await browser.client.get("/console/", headers={"Sec-Fetch-Mode": "cors"})).status_code == 401
    assert (await browser.post("/console/")).status_code == 401
    assert site.noted() == []


async def test_after_a_wrong_password_the_page_still_knows_where_it_leads(site):
    answer = await site.browser().sign_in(password="wrong", to="/console/work")
    assert (answer.status_code, answer.text.split("\n")[1]) == (401, "/console/work")


async def test_somebody_signs_in_at_the_identity_provider_with_the_role_of_a_group(site):
    browser = site.browser()
    answer = await browser.by_provider("/console/admin")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/admin")
    assert await browser.role() == "Ann Lee READER"
    assert site.noted() == [("login", "oidc:248-1", 200, "")]
    [redeemed] = site.provider.redeemed
    assert len(redeemed["code_verifier"]) == 43


async def test_of_several_groups_the_largest_role_counts_and_a_subject_may_have_its_own(site):
    site.provider.claims["groups"] = ["radiology-it", "staff", "radiology"]
    browser = site.browser()
    await browser.by_provider()
    assert await browser.role() == "Ann Lee OPERATOR"
    site.provider.claims |= {"sub": "248-9", "groups": []}
    await browser.by_provider()
    assert await browser.role() == "Ann Lee ADMIN"


async def test_at_sign_out_the_provider_is_told_with_the_id_token_that_the_database_cannot_read(site):
    browser = site.browser()
    await browser.by_provider()
    stored = str(await rows(site.engine, "SELECT * FROM console_session"))
    answer = await browser.post("/console/sign-out")
    assert answer.headers["location"].startswith(f"{ISSUER}/end?id_token_hint=")
    assert await site.provider.visited(answer.headers["location"]) == f"{ROOT}/console/sign-in"
    [told] = site.provider.signed_out
    assert told["id_token_hint"].count(".") == 2 and told["id_token_hint"] not in stored
    assert "Ann Lee" in stored and await browser.role() == ""
    assert f"form-action 'self' {ISSUER.rpartition('/realms')[0]};" in answer.headers["content-security-policy"]


async def test_a_provider_that_names_no_sign_out_is_not_told(site):
    site.provider.says = {"end_session_endpoint": None}
    browser = site.browser()
    await browser.by_provider()
    assert (await browser.post("/console/sign-out")).headers["location"] == "/console/sign-in?signed-out"


async def test_while_the_provider_is_down_a_page_says_so_and_local_accounts_go_on(site):
    await site.add()
    site.provider.is_down = True
    browser = site.browser()
    answer = await browser.open("/console/sign-in/provider")
    assert answer.status_code == 503 and "identity provider does not answer" in answer.text
    assert (await browser.sign_in()).status_code == 303
    assert await browser.role() == "kim OPERATOR"


async def test_a_provider_that_goes_down_between_leaving_and_coming_back_signs_nobody_in(site):
    browser = site.browser()
    back = await browser.at_provider()
    site.provider.is_down = True
    answer = await browser.open(back)
    assert answer.status_code == 503 and "does not answer" in answer.text
    assert await browser.role() == ""


async def test_new_keys_of_the_provider_are_found_and_old_ones_end(sqlite_engine):
    passed = 0.0
    site = ConsoleSite(sqlite_engine, monotonic=lambda: passed)
    await site.browser().by_provider()
    site.provider.keys, site.provider.key = ("ES256 b",), "ES256 b"
    passed = 11.0
    browser = site.browser()
    await browser.by_provider()
    assert await browser.role() == "Ann Lee READER"
    site.provider.key = "RS256 a"
    assert (await site.browser().by_provider()).status_code == 401


async def test_a_session_ends_when_nobody_uses_it_and_a_poll_is_no_use(site, later):
    await site.add()
    browser = site.browser()
    await browser.sign_in()
    later(IDLE - 1_000_000)
    assert await browser.role() != ""
    later(IDLE - 60_000_000)
    assert await browser.role({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}) != ""
    later(61_000_000)
    assert await browser.role() == ""


async def test_a_session_ends_after_twelve_hours_although_it_is_used(site, later):
    await site.add()
    browser = site.browser()
    await browser.sign_in()
    for _ in range(LONGEST // (10 * 60_000_000) - 1):
        later(10 * 60_000_000)
        assert await browser.role() != ""
    later(10 * 60_000_000)
    assert await browser.role() == ""


async def test_a_role_that_the_settings_change_holds_for_sessions_that_go_on(site):
    browser = site.browser()
    await browser.by_provider()
    site.settings = console_settings(groups={"radiology": "watcher"})
    site.serve()
    browser = moved(site, browser)
    assert await browser.role() == "Ann Lee WATCHER"
    site.settings = console_settings(groups={"radiology-it": "admin"})
    site.serve()
    assert await moved(site, browser).role() == ""
    site.settings = Settings(server={"public_url": f"{ROOT}/fhir"})
    site.serve()
    assert await moved(site, browser).role() == ""


def moved(site, browser):
    """Return a browser with the cookies of another, at the console as it was started last."""
    other = site.browser()
    other.client.cookies = browser.client.cookies
    return other


async def test_all_sessions_of_a_removed_account_end_at_once(site):
    await site.add()
    browsers = [site.browser() for _ in range(2)]
    for browser in browsers:
        await browser.sign_in()
    await site.stored.remove("kim", "left", 1)
    assert [await one.role() for one in browsers] == ["", ""]
    await site.add(role="admin")
    assert [await one.role() for one in browsers] == ["", ""]


async def test_an_admin_ends_the_sessions_of_somebody(site):
    browser = site.browser()
    await browser.by_provider()
    [one] = await operators.signed_in(site.engine)
    assert (one.subject, one.name, one.sessions) == ("oidc:248-1", "Ann Lee", 1)
    assert await operators.end_sessions(site.engine, "oidc:248-1", "left") == 1
    assert await operators.signed_in(site.engine) == []
    assert await browser.role() == ""


async def test_a_role_that_is_too_small_is_refused_and_noted(site):
    await site.add("kim", "operator")
    browser = site.browser()
    await browser.sign_in()
    site.noted()
    answer = await browser.open("/console/admin")
    assert (answer.status_code, answer.text) == (403, "Your role does not allow this.")
    assert site.noted() == [("refusal", "local:kim", 403, "role-too-small")]


async def test_without_an_audit_nobody_is_signed_in(site):
    await site.add()
    browser = site.browser()
    site.is_audit_closed = True
    for answer in (await browser.sign_in(), await browser.sign_in(password="wrong")):
        assert answer.status_code == 503 and "set-cookie" not in answer.headers
    assert await browser.role() == ""


async def test_the_demo_signs_in_by_a_word_once_and_on_this_machine_alone(sqlite_engine, monkeypatch):
    site = ConsoleSite(sqlite_engine, settings=Settings(), is_demo=True)
    here = site.browser("http://127.0.0.1:8800", "127.0.0.1")
    path = site.gate.one_time_word()
    assert (await here.client.head(path)).status_code == 405
    assert (await here.open(path)).headers["location"] == "/console/"
    assert await here.role() == "Demo ADMIN"
    assert (await site.browser("http://127.0.0.1:8800", "127.0.0.1").open(path)).status_code == 401
    assert (await site.browser(peer="10.1.2.3").open(site.gate.one_time_word())).status_code == 401
    late, monotonic = site.gate.one_time_word(), clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + 301)
    assert (await here.open(late)).status_code == 401
    site.is_demo = False
    site.serve()
    assert await moved(site, here).role() == ""
    with pytest.raises(ConfigError):
        site.gate.one_time_word()


async def test_on_this_machine_over_http_cookies_have_a_plain_name_and_elsewhere_there_are_none(site):
    await site.add()
    here = site.browser("http://127.0.0.1:8800", "127.0.0.1")
    cookie = (await here.sign_in()).headers["set-cookie"]
    assert cookie.startswith("local-autoscribe-console=") and "Secure" not in cookie
    assert await here.role() == "kim OPERATOR"
    for far in (site.browser("http://gateway.example"), site.browser("http://gateway.example", "127.0.0.1")):
        answer = await far.open("/console/sign-in")
        assert answer.status_code == 403 and "https" in answer.text
        assert (await far.sign_in()).status_code == 403
    safe = site.browser()
    cookies = (await safe.sign_in()).headers.get_list("set-cookie")
    assert all(one.startswith("__Host-") and "Domain" not in one for one in cookies)
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookies[0].split("; "))


async def test_the_settings_of_a_provider_are_checked_before_anybody_signs_in(sqlite_engine):
    for changes, key in (
        ({"issuer": "http://login.example"}, "console.issuer"),
        ({"client_id": None}, "console.client_id"),
        ({"client_secret": None}, "console.client_secret"),
        ({"groups": {}, "subjects": {}}, "console.groups"),
    ):
        with pytest.raises(ConfigError, match=key):
            console_gate(sqlite_engine, console_settings(**changes), print, print)
    settings = console_settings().model_copy(update={"server": Settings(server={"public_url": ROOT}).server})
    with pytest.raises(ConfigError, match=r"server\.public_url"):
        console_gate(sqlite_engine, settings, print, print)
    [asking] = console_gate(sqlite_engine, console_settings(), print, print).loops()
    asking.close()
    assert console_gate(sqlite_engine, Settings(), print, print).loops() == ()


def test_the_headers_of_an_answer_forbid_all_that_it_does_not_need():
    policy = console_headers()["Content-Security-Policy"]
    assert policy == "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    assert console_headers()["Referrer-Policy"] == "no-referrer"
    page = ContentPolicy((hash_source("a{}"),), ("'self'",), polls=True, images=True, shows_pdf=True)
    said = dict(one.split(" ", 1) for one in console_headers(page)["Content-Security-Policy"].split("; "))
    assert said["style-src"].startswith("'sha256-") and said["script-src"] == "'self'"
    assert (said["connect-src"], said["img-src"], said["frame-src"]) == ("'self'", "'self' data:", "'self'")
    assert "unsafe" not in str(said) and said["frame-ancestors"] == "'none'"
    assert "frame-ancestors 'self'" in console_headers(ContentPolicy(is_framed=True))["Content-Security-Policy"]


def test_the_hash_of_an_inline_style_is_that_of_the_standard():
    # CSP3 §2.3.1 has this example: alert('Hello, world.');
    assert hash_source("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"


async def test_an_account_without_accounts_and_without_a_provider_says_so_to_the_page(sqlite_engine):
    site = ConsoleSite(sqlite_engine, settings=Settings())
    lines = (await site.browser().client.get("/console/sign-in", headers=OPENED)).text.split("\n")
    assert lines[2:4] == ["False", ""]
    assert (await site.browser().open("/console/sign-in/provider")).status_code == 404
    assert PASSWORD not in "".join(lines)


async def test_the_client_proves_itself_in_the_form_where_the_provider_wants_that(site):
    site.provider.says = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    browser = site.browser()
    await browser.by_provider()
    assert await browser.role() == "Ann Lee READER"
    assert "client_secret" in site.provider.redeemed[0]


async def test_a_provider_that_lacks_an_address_signs_nobody_in(site):
    site.provider.says = {"authorization_endpoint": None}
    assert (await site.browser().open("/console/sign-in/provider")).status_code == 503
    site.provider.says = {"token_endpoint": "http://login.hospital.example/token"}
    site.serve()
    assert (await site.browser().by_provider()).status_code == 503


async def test_a_form_is_taken_once(site):
    site.browser()
    assert [await site.gate.is_first(one) for one in ("a", "b", "a")] == [True, True, False]
