"""The token endpoint gives a proved client the part of its scopes that it asks for, and describes and revokes tokens.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html, RFC 6749, RFC 7662, RFC 7009
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest
from fakes.assertions import CLIENT, NOW, claims, jwks, public_jwk, signed
from fakes.store import rows
from fakes.token_site import REGISTERED, form, token_site

from gateway.auth.token_endpoint import BODY_PATIENCE, INTROSPECT_PATH, REVOKE_PATH
from gateway.auth.token_service import LIFETIME
from gateway.runtime.errors import StoreUnavailable
from gateway.store.clients import ClientKeySet

SECOND = 1_000_000
OTHER = replace(REGISTERED, client_id="client-2", name="Other", key_sets=(ClientKeySet(jwks("RS384 b").decode()),))


@pytest.fixture
async def site(sqlite_engine):
    made = await token_site(sqlite_engine)
    async with made.client:
        yield made


def of_other(**changes):
    return signed(claims(iss="client-2", sub="client-2"), "RS384 b")


@pytest.mark.parametrize("name", ["RS384 a", "ES384 a"])
async def test_a_client_that_signs_gets_a_token_for_the_scopes_that_it_may_have(site, name):
    answer = await site.post(fields=form(signed(claims(), name), scope="system/*.read openid launch/patient"))
    assert answer.status_code == 200
    body = answer.json()
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", body.pop("access_token"))
    assert body == {
        "token_type": "bearer",
        "expires_in": LIFETIME,
        "scope": "system/DiagnosticReport.rs system/Patient.r",
    }
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")


async def test_a_token_lives_fifteen_minutes_or_as_long_as_its_client(sqlite_engine):
    site = await token_site(sqlite_engine, registered=replace(REGISTERED, expires=(NOW + 60) * SECOND))
    assert (await site.post()).json()["expires_in"] == 60
    site.at += 60
    assert (await site.post(fields=form(signed(claims(site.at))))).json() == {"error": "invalid_client"}


async def test_nothing_of_a_token_or_an_assertion_is_stored_or_logged(site, sqlite_engine, capsys):
    compact = signed(claims(jti="planted-jti"))
    token = await site.token(compact=compact)
    await site.post(fields=form(compact))
    dump = str([await rows(sqlite_engine, f"SELECT * FROM {name}") for name in ("access_token", "used_assertion")])
    out, err = capsys.readouterr()
    for secret in (token, compact, "planted-jti"):
        assert secret not in dump + out + err


async def test_a_client_may_name_its_key_set_by_jku_but_no_other(sqlite_engine):
    host = "https://jwks.example/"
    keys = (*REGISTERED.key_sets, ClientKeySet(url=host))
    site = await token_site(sqlite_engine, registered=replace(REGISTERED, key_sets=keys))

    async def nobody(url):
        raise AssertionError("a jku is never followed")

    site.parts.service.keys._fetch = nobody
    inline = replace(REGISTERED, client_id="inline", name="inline")
    await site.clients.add(inline, "")
    refused = await site.post(fields=form(signed(claims(iss="inline", sub="inline"), jku=host)))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client")


async def test_during_a_rotation_either_key_is_good_and_afterwards_the_new_one_alone(site):
    new = ClientKeySet(json.dumps({"keys": [public_jwk("RS384 b", kid="RS384 a")]}))
    assert await site.clients.rotate(CLIENT, new, (NOW + 60) * SECOND, "", NOW * SECOND) == "done"
    for name in ("RS384 a", "RS384 b"):
        assert (await site.post(fields=form(signed(claims(), name, kid="RS384 a")))).status_code == 200
    site.at += 60
    answers = [await site.post(fields=form(signed(claims(site.at), n, kid="RS384 a"))) for n in ("RS384 a", "RS384 b")]
    assert [one.status_code for one in answers] == [400, 200]


async def test_a_client_that_asks_for_scopes_without_end_is_refused_in_no_time(sqlite_engine):
    many = " ".join(f"system/*.rs?code={number}" for number in range(50))
    site = await token_site(sqlite_engine, registered=replace(REGISTERED, scopes=many))
    answer = await site.post(fields=form(scope=" ".join(f"system/*.rs?_id={number}" for number in range(50))))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    answer = await site.post(fields=form(scope=" ".join(f"system/*.rs?_id={number}" for number in range(51))))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


async def test_a_client_sees_its_own_tokens_and_no_others(site):
    await site.clients.add(OTHER, "")
    token = await site.token()
    mine = await site.post(INTROSPECT_PATH, form(signed(claims()), token=token))
    assert mine.json() == {
        "active": True,
        "scope": "system/DiagnosticReport.rs system/Patient.r",
        "client_id": CLIENT,
        "token_type": "bearer",
        "iat": NOW,
        "exp": NOW + LIFETIME,
    }
    for asked in (form(of_other(), token=token), form(signed(claims()), token="unknown")):
        assert (await site.post(INTROSPECT_PATH, asked)).json() == {"active": False}
    site.at += LIFETIME
    assert (await site.post(INTROSPECT_PATH, form(signed(claims(site.at)), token=token))).json() == {"active": False}


async def test_a_client_revokes_its_own_token_and_the_answer_tells_nothing_of_others(site):
    await site.clients.add(OTHER, "")
    token = await site.token()
    for asked in (form(of_other(), token=token), form(signed(claims()), token="unknown")):
        answer = await site.post(REVOKE_PATH, asked)
        assert (answer.status_code, answer.json()) == (200, {})
    assert (await site.post(INTROSPECT_PATH, form(signed(claims()), token=token))).json()["active"]
    answer = await site.post(REVOKE_PATH, form(signed(claims()), token=token, token_type_hint="access_token"))
    assert (answer.status_code, answer.json()) == (200, {})
    assert not (await site.post(INTROSPECT_PATH, form(signed(claims()), token=token))).json()["active"]


async def test_a_disabled_client_learns_nothing_about_its_tokens(site):
    token = await site.token()
    await site.clients.disable(CLIENT, "", NOW * SECOND)
    answer = await site.post(INTROSPECT_PATH, form(signed(claims()), token=token))
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_client"})


@pytest.mark.parametrize("path", [INTROSPECT_PATH, REVOKE_PATH])
async def test_who_asks_about_a_token_must_prove_itself_with_a_new_assertion(site, path):
    token, compact = await site.token(), signed(claims())
    assert (await site.post(path, form(compact))).json()["error"] == "invalid_request"
    assert (await site.post(path, form(compact, token=token))).status_code == 200
    for fields in (form(compact, token=token), {"token": token}):
        answer = await site.post(path, fields)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post_is_answered(site, method):
    answer = await site.client.request(method, "/auth/token")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_database_that_does_not_answer_is_a_503_with_a_time(site, monkeypatch):
    async def down(*_):
        raise StoreUnavailable("gone")

    monkeypatch.setattr(site.parts.service.clients, "find", down)
    answer = await site.post()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json() == {"error": "temporarily_unavailable"}


async def test_a_form_that_comes_too_slowly_is_given_up(site, monkeypatch):
    async def slow():
        yield b"grant_type="
        await asyncio.sleep(60)

    assert BODY_PATIENCE <= 10
    monkeypatch.setattr("gateway.auth.token_endpoint.BODY_PATIENCE", 0.05)
    answer = await site.post(content=slow(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.json()["error"] == "invalid_request"
