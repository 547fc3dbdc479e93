"""Attacks on the sign-in of the console are refused: each is tried as an attacker would, and leaves nobody signed in.

OWASP ASVS 5.0 §3 and §7, RFC 9700 §4 (attacks on the code flow), RFC 8725 §2 (attacks on JWTs).
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from argon2 import PasswordHasher
from fakes.assertions import raw
from fakes.console_site import OPENED, PASSWORD, POSTED, ROOT, Browser, ConsoleSite
from fakes.identity_provider import CLIENT_ID, ISSUER
from fakes.store import rows

from gateway.auth import operators
from gateway.auth.console_gate import console_headers
from gateway.auth.provider import SignInAttempt
from gateway.runtime import clock


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """Make hashes that take no time; tests/gateway/auth/test_console_accounts.py has the true ones."""
    monkeypatch.setattr(operators, "_HASHER", PasswordHasher(1, 8, 1))


@pytest.fixture
def site(sqlite_engine):
    return ConsoleSite(sqlite_engine)


async def refused(site: ConsoleSite, browser: Browser, back: str, code: str, status: int = 401) -> None:
    """Come back from the provider to a refusal, which the audit knows by its code."""
    site.noted()
    answer = await browser.open(back)
    assert (answer.status_code, await browser.role()) == (status, "")
    assert [(kind, found) for kind, _, _, found in site.noted()] == [("login", code)]
    assert not await rows(site.engine, "SELECT * FROM console_session")


# The code flow


async def test_an_answer_of_the_provider_signs_in_once(site):
    browser = site.browser()
    back = await browser.at_provider()
    cookies = dict(browser.client.cookies)
    codes = dict(site.provider.codes)
    await browser.open(back)
    await browser.post("/console/sign-out")
    await refused(site, browser, back, "attempt-not-known")
    browser.client.cookies.update(cookies)
    site.provider.codes = codes  # even with the cookie of the attempt, at a provider that takes a code again
    await refused(site, browser, back, "attempt-not-known")
    assert len(site.provider.redeemed) == 2


def attempt_of(browser):
    """Return the attempt that a browser has the cookie of."""
    return SignInAttempt.of(browser.client.cookies["__Host-autoscribe-sign-in"], clock.now().timestamp())


async def test_the_answer_to_one_browser_signs_nobody_in_in_another(site):
    mine, his = site.browser(), site.browser()
    back = await mine.at_provider()
    await refused(site, his, back, "attempt-not-known")  # without any cookie
    await his.at_provider()
    await refused(site, his, back, "attempt-not-known")  # with a cookie of his own
    assert site.provider.redeemed == []


async def test_a_state_that_is_changed_twice_there_or_missing_is_refused(site):
    for change in (lambda one: one.replace("state=", "state=A"), lambda one: f"{one}&state=x", no_state):
        browser = site.browser()
        await refused(site, browser, change(await browser.at_provider()), "attempt-not-known")
    assert site.provider.redeemed == []


def no_state(back):
    return re.sub(r"&state=[^&]*", "", back)


async def test_an_attempt_ends_after_ten_minutes_and_cannot_be_made_younger(site, monkeypatch):
    browser = site.browser()
    back = await browser.at_provider()
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(seconds=601))
    cookie = browser.client.cookies["__Host-autoscribe-sign-in"]
    await refused(site, browser, back, "attempt-not-known")
    secret, began, to = cookie.split(".", 2)
    browser.client.cookies.set(
        "__Host-autoscribe-sign-in", f"{secret}.{int(began) + 300}.{to}", domain="gateway.example"
    )
    await refused(site, browser, back, "attempt-not-known")


async def test_the_answer_of_another_provider_is_refused_before_its_code_is_used(site):
    browser = site.browser()
    back = (await browser.at_provider()).replace("login.hospital", "login.evil")
    assert "login.evil" in back
    await refused(site, browser, back, "wrong-issuer")
    assert site.provider.redeemed == []


async def test_who_the_provider_refuses_is_not_signed_in_and_its_words_are_not_shown(site):
    browser = site.browser()
    state = parse_qs(urlsplit(await browser.at_provider()).query)["state"][0]
    answer = await browser.open(f"/console/signed-in?error=access_denied&error_description=<b>x&state={state}")
    assert (answer.status_code, "<b>" in answer.text) == (401, False)
    assert site.noted() == [("login", "", 401, "provider-refused")]


async def test_the_code_is_of_no_use_without_the_verifier_of_the_browser(site):
    mine, his = site.browser(), site.browser()
    stolen = parse_qs(urlsplit(await mine.at_provider()).query)["code"][0]
    own = await his.at_provider()
    verifier = attempt_of(his).verifier
    await refused(site, his, re.sub(r"code=[^&]*", f"code={stolen}", own), "code-refused")
    assert [one["code_verifier"] for one in site.provider.redeemed] == [verifier]


async def test_each_attempt_asks_with_a_challenge_and_values_of_its_own(site):
    asked = []
    for _ in range(2):
        answer = await site.browser().open("/console/sign-in/provider")
        asked.append(parse_qs(urlsplit(answer.headers["location"]).query))
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name] and len(asked[0][name][0]) == 43
    assert asked[0]["code_challenge_method"] == ["S256"] and asked[0]["redirect_uri"] == [f"{ROOT}/console/signed-in"]
    assert len({asked[0][name][0] for name in ("state", "nonce", "code_challenge")}) == 3


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": "other"}, "wrong-nonce"),
        ({"nonce": None}, "wrong-nonce"),
        ({"nonce": ["x"]}, "wrong-nonce"),
        ({"iss": "https://login.evil.example"}, "wrong-issuer"),
        ({"iss": f"{ISSUER}/"}, "wrong-issuer"),
        ({"aud": "other"}, "wrong-audience"),
        ({"aud": [CLIENT_ID, "other"]}, "wrong-audience"),
        ({"azp": "other"}, "wrong-audience"),
        ({"exp": 1_000}, "expired"),
        ({"exp": None}, "exp-missing"),
        ({"iat": None}, "iat-missing"),
        ({"iat": 99_999_999_999}, "not-yet-valid"),
        ({"sub": None}, "sub-missing"),
        ({"sub": ""}, "sub-missing"),
        ({"sub": "a\nb"}, "sub-missing"),
        ({"sub": "x" * 300}, "sub-missing"),
    ],
)
async def test_an_id_token_with_a_wrong_claim_is_refused(site, claims, code):
    browser = site.browser()
    back = await browser.at_provider()
    site.provider.claims |= claims
    await refused(site, browser, back, code)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"typ": "at+jwt"}, "wrong-type"),
        ({"typ": ["JWT"]}, "wrong-type"),
        ({"kid": None}, "key-id-missing"),
        ({"kid": "other"}, "key-unknown"),
        ({"jku": "https://evil.example/keys"}, "header-not-known"),
        ({"jwk": {"kty": "RSA"}}, "header-not-known"),
    ],
)
async def test_an_id_token_with_a_wrong_header_is_refused(site, header, code):
    browser = site.browser()
    back = await browser.at_provider()
    site.provider.header = header
    await refused(site, browser, back, code)


async def test_an_id_token_without_a_signature_or_with_another_is_refused(site):
    for made, code in (
        (unsigned, "wrong-algorithm"),
        (by_secret, "wrong-algorithm"),
        (by_other_key, "wrong-signature"),
    ):
        browser = site.browser()
        back = await browser.at_provider()
        nonce = attempt_of(browser).nonce
        site.provider.token = made(site.provider.minted(nonce))
        await refused(site, browser, back, code)


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(token):
    return f"{part({'alg': 'none', 'kid': 'RS256 a', 'typ': 'JWT'})}.{token.split('.')[1]}.AAAA"


def by_secret(token):
    return f"{part({'alg': 'HS256', 'kid': 'RS256 a', 'typ': 'JWT'})}.{token.split('.')[1]}.AAAA"


def by_other_key(token):
    payload = base64.urlsafe_b64decode(token.split(".")[1] + "==")
    return raw(b'{"alg":"RS256","kid":"RS256 a","typ":"JWT"}', payload, "RS256 stranger")


@pytest.mark.parametrize(
    ("token", "code"), [("", "token-malformed"), ("a.b", "token-malformed"), ("A" * 20_000, "token-malformed")]
)
async def test_what_is_no_id_token_is_refused(site, token, code):
    browser = site.browser()
    back = await browser.at_provider()
    site.provider.token = token
    await refused(site, browser, back, code)


async def test_an_id_token_without_a_type_is_taken_as_some_providers_make_it(site):
    site.provider.header = {"typ": None}
    browser = site.browser()
    await browser.by_provider()
    assert await browser.role() == "Ann Lee READER"


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": []},
        {"groups": ["Radiology", "radiology ", "radiology-it-2"]},
        {"groups": "radiology,radiology-it"},
        {"groups": {"radiology": True}},
        {"groups": None, "email": "radiology", "roles": ["radiology"]},
        {"groups": [["radiology"]]},
    ],
)
async def test_only_an_exact_group_gives_a_role(site, claims):
    site.provider.claims |= claims
    browser = site.browser()
    site.noted()
    answer = await browser.by_provider()
    assert answer.status_code == 403 and "role" in answer.text
    assert site.noted() == [("login", "oidc:248-1", 403, "no-role")]
    assert await browser.role() == ""


async def test_a_person_of_the_provider_cannot_take_the_name_of_a_local_account_or_of_the_demo(sqlite_engine):
    site = ConsoleSite(sqlite_engine, is_demo=True)
    await site.add("kim", "admin")
    for subject in ("kim", "local:kim", "demo"):
        site.provider.claims["sub"] = subject
        browser = site.browser()
        await browser.by_provider()
        assert await browser.role() == "Ann Lee READER"
    assert {subject for _, subject, _, _ in site.noted()} == {"oidc:kim", "oidc:local:kim", "oidc:demo"}


# Sessions and cookies


async def test_a_token_that_somebody_planted_is_not_that_of_the_session(site):
    await site.add()
    browser = site.browser()
    planted = "A" * 43
    browser.client.cookies.set("__Host-autoscribe-console", planted, domain="gateway.example")
    await browser.sign_in()
    assert browser.client.cookies["__Host-autoscribe-console"] != planted
    other = site.browser()
    other.client.cookies.set("__Host-autoscribe-console", planted, domain="gateway.example")
    assert await other.role() == ""


async def test_a_new_sign_in_ends_the_session_before_it(site):
    await site.add()
    browser = site.browser()
    await browser.sign_in()
    former = browser.client.cookies["__Host-autoscribe-console"]
    await browser.sign_in()
    other = site.browser()
    other.client.cookies.set("__Host-autoscribe-console", former, domain="gateway.example")
    assert (await other.role(), await browser.role()) == ("", "kim OPERATOR")


async def test_a_session_that_was_signed_out_is_over_although_its_cookie_is_kept(site):
    await site.add()
    browser = site.browser()
    await browser.sign_in()
    kept = browser.client.cookies["__Host-autoscribe-console"]
    await browser.post("/console/sign-out")
    browser.client.cookies.set("__Host-autoscribe-console", kept, domain="gateway.example")
    assert await browser.role() == ""


async def test_the_database_has_neither_the_cookie_nor_the_password(site):
    await site.add()
    browser = site.browser()
    await browser.sign_in()
    stored = str(await rows(site.engine, "SELECT * FROM console_session")) + str(
        await rows(site.engine, "SELECT * FROM operator")
    )
    assert browser.client.cookies["__Host-autoscribe-console"] not in stored and PASSWORD not in stored
    digest = re.search("[0-9a-f]{64}", stored)[0]
    other = site.browser()
    for value in (digest, digest[:43]):
        other.client.cookies.set("__Host-autoscribe-console", value, domain="gateway.example")
        assert await other.role() == ""


async def test_the_plain_cookie_of_this_machine_is_nothing_over_https(site):
    await site.add()
    here = site.browser("http://127.0.0.1:8800", "127.0.0.1")
    await here.sign_in()
    far = site.browser()
    far.client.cookies.set(
        "local-autoscribe-console", here.client.cookies["local-autoscribe-console"], domain="gateway.example"
    )
    assert await far.role() == ""


# Forms of other sites, frames, and ways out


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "Same-Origin"},
        {"Sec-Fetch-Site": "same-origin, cross-site"},
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        {"Origin": ROOT, "Referer": f"{ROOT}/console/"},
    ],
)
async def test_a_form_of_another_site_does_nothing(site, headers):
    await site.add("kim", "admin")
    browser = site.browser()
    assert (await browser.post("/console/sign-in", {"name": "kim", "password": PASSWORD}, headers)).status_code == 403
    assert await browser.role() == ""
    await browser.sign_in()
    site.noted()
    assert (await browser.post("/console/admin", {}, headers)).status_code == 403
    assert (await browser.post("/console/sign-out", {}, headers)).status_code == 403
    assert {(subject, code) for _, subject, _, code in site.noted()} >= {("local:kim", "another-site")}
    assert await browser.role() == "kim ADMIN"
    assert (await browser.post("/console/admin")).status_code == 200


async def test_a_link_signs_nobody_out(site):
    await site.add()
    browser = site.browser()
    await browser.sign_in()
    assert (await browser.open("/console/sign-out")).status_code == 405
    assert await browser.role() != ""


async def test_no_answer_may_be_framed_or_load_from_elsewhere(site):
    await site.add()
    browser = site.browser()
    answers = [await browser.open("/console/"), await browser.sign_in(), await browser.open("/console/admin")]
    answers += [await browser.client.put("/console/sign-in"), await browser.open("/console/sign-in/provider")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, answer.status_code
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in str(console_headers())


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/console/",
        "/\\evil.example",
        "/console/\\evil.example",
        "/console//evil.example",
        "/console/../fhir/Patient",
        "/console/%2e%2e/fhir",
        "/console/%2E./fhir",
        "/console/%5cevil.example",
        "/console/..",
        "/console/a/./b",
        "/console",
        "/consolex/",
        "/fhir/Patient",
        "/console/\r\nSet-Cookie: a=b",
        "/console/\tx",
        "/console/é",
        "javascript:alert(1)",
        "console/",
        "/console/#x",
        "/console/sign-out",
        "/console/sign-in/provider",
        "/console/" + "a" * 500,
    ],
)
async def test_nobody_is_led_out_of_the_console(site, to):
    await site.add()
    assert (await site.browser().sign_in(to=to)).headers["location"] == "/console/"
    assert (await site.browser().by_provider(to)).headers["location"] == "/console/"
    page = await site.browser().client.get("/console/sign-in", params={"to": to}, headers=OPENED)
    assert page.text.split("\n")[1] == "/console/"


@pytest.mark.parametrize(
    "to", ["/console/", "/console/message/MSG%201", "/console/find?state=held&when=-1d", "/console/a.b"]
)
async def test_a_page_of_the_console_is_come_back_to(site, to):
    await site.add()
    assert (await site.browser().sign_in(to=to)).headers["location"] == to
    assert (await site.browser().by_provider(to)).headers["location"] == to


async def test_a_form_that_is_no_form_is_refused(site):
    browser = site.browser()
    for content, kind in (
        (b"name=a&name=b&password=c", FORM),
        (b'{"name":"kim"}', "application/json"),
        (b"x" * 20_000, FORM),
    ):
        headers = POSTED | {"Content-Type": kind}
        answer = await browser.client.post("/console/sign-in", content=content, headers=headers)
        assert answer.status_code == 400
    assert {code for _, _, _, code in site.noted()} == {"form-malformed"}


FORM = "application/x-www-form-urlencoded"


# Guessing


async def test_an_account_is_locked_after_wrong_passwords_for_longer_and_longer(site, monkeypatch):
    await site.add()
    begun, passed = clock.now(), 0
    monkeypatch.setattr(clock, "now", lambda: begun + timedelta(seconds=passed))
    for _ in range(4):
        await attempt(site, "wrong")
    assert await attempt(site) == 303  # four failures lock nothing, and the right password begins anew
    for _ in range(4):
        await attempt(site, "wrong")
    for lock in (15, 30, 60, 120, 240, 480, 900, 900):
        site.noted()
        await attempt(site, "wrong")
        passed += lock - 1
        assert await attempt(site) == 401
        assert [code for _, _, _, code in site.noted()] == ["locked-now", "account-locked"]
        passed += 2
    assert await attempt(site) == 303


async def attempt(site, password=PASSWORD):
    """Try to sign in, as if nobody had tried for a while."""
    site.gate._bounds = operators.SignInBounds()
    return (await site.browser().sign_in(password=password)).status_code


async def test_the_answer_tells_nobody_which_accounts_exist_or_are_locked(site):
    await site.add()
    answers = [await site.browser().sign_in(name, "wrong") for name in ("kim", "nobody", "no name at all", "")]
    await site.stored.failed("kim", lambda _: 2**60)
    answers.append(await site.browser().sign_in())
    assert len({(one.status_code, one.text, str(sorted(one.headers))) for one in answers}) == 1
    assert [subject for _, subject, _, _ in site.noted()] == ["local:kim", "", "", "", "local:kim"]


async def test_a_flood_from_one_address_is_refused_before_a_password_is_hashed(site, monkeypatch):
    await site.add()
    hashes = []
    monkeypatch.setattr(operators, "_is_of", lambda known, password: hashes.append(password) or False)
    stranger = site.browser(peer="2001:db8::1")
    codes = [(await stranger.sign_in(f"name{number}", "x")).status_code for number in range(40)]
    assert (codes.count(401), codes.count(429), len(hashes)) == (10, 30, 10)
    neighbour = site.browser(peer="2001:db8::ffff")  # of the same network
    assert (await neighbour.sign_in()).status_code == 429
    assert len(hashes) == 10


async def test_a_flood_from_many_addresses_costs_a_bounded_number_of_hashes_one_at_a_time(site, monkeypatch):
    at_once, most, hashes = 0, 0, 0

    def slow(*_):
        nonlocal at_once, most, hashes
        at_once, hashes = at_once + 1, hashes + 1
        most = max(most, at_once)
        time.sleep(0.01)
        at_once -= 1
        return False

    monkeypatch.setattr(operators, "_is_of", slow)
    browsers = [site.browser(peer=f"10.0.{number}.1") for number in range(60)]
    answers = await asyncio.gather(*(one.sign_in("nobody", "x") for one in browsers))
    codes = [one.status_code for one in answers]
    assert most == 1 and hashes == codes.count(401) <= 20 and codes.count(429) >= 40


async def test_codes_of_strangers_are_not_carried_to_the_provider_without_end(site):
    browser = site.browser()
    for _ in range(30):
        back = await browser.at_provider()
        await browser.open(re.sub("code=[^&]*", "code=guessed", back))
    assert len(site.provider.redeemed) == 10


async def test_a_password_of_any_length_or_script_is_only_wrong(site):
    await site.add()
    for password in ("", "x" * 9_000, "\0", "pässwörd 密碼", "%00"):
        site.gate._bounds = operators.SignInBounds()
        assert (await site.browser().sign_in(password=password)).status_code == 401


async def test_nothing_that_was_typed_reaches_the_log_or_the_audit(site, capsys):
    await site.add()
    await site.browser().sign_in("Zyxwrumpel", "Quorvix-secret")
    await site.browser().sign_in("kim", "Quorvix-secret")
    said = "".join(capsys.readouterr()) + str([(one.subject, one.code) for one in site.seen])
    assert "Zyxwrumpel" not in said and "Quorvix" not in said and "wrong-password" in said
