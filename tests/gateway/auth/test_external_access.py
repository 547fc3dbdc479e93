"""The site has the last word on an external client: it is registered, and gets no more than it is registered for.

RFC 9068 §4; RFC 6750 §3.1.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.assertions import NOW, jwks
from fakes.issuer import APP, REGISTERED, external_site, minted

from gateway.auth.token_cache import TRUSTED
from gateway.runtime import clock
from gateway.store.clients import ClientKeySet


@pytest.fixture(autouse=True)
def at(monkeypatch):
    """The time of the gateway, which a test turns: seconds since 1970, and the same for the cache."""
    now = {"at": float(NOW)}
    monkeypatch.setattr(clock, "now", lambda: clock.datetime.fromtimestamp(now["at"], clock.UTC))
    return now


async def site_of(engine, at, *registered, **changes):
    site = await external_site(engine, *registered, **changes)
    site.parts.tokens._now = lambda: at["at"]
    return site


async def test_a_token_gives_the_meet_of_its_scopes_and_the_registration(sqlite_engine, at):
    site = await site_of(sqlite_engine, at)
    said = (await site.get(minted(scope="system/*.cruds user/*.rs patient/*.r openid", patient="Patient/pat-1"))).json()
    assert said["scopes"] == ["patient/*.r", "system/*.rs", "user/Patient.rs"]
    assert (said["client"], said["user"], said["patient"]) == (APP, "user-1", "pat-1")


async def test_without_a_patient_no_patient_scope_grants_anything(sqlite_engine, at):
    site = await site_of(sqlite_engine, at)
    assert (await site.get(minted(scope="patient/*.r"))).json()["scopes"] == []


async def test_a_token_without_a_common_scope_is_valid_and_gives_nothing(sqlite_engine, at):
    site = await site_of(sqlite_engine, at, replace(REGISTERED, scopes="system/Patient.r"))
    assert (await site.get(minted(scope="system/Observation.rs"))).json()["scopes"] == []


async def test_the_facilities_of_the_registration_hold(sqlite_engine, at):
    site = await site_of(sqlite_engine, at, replace(REGISTERED, facilities=("City",)))
    assert (await site.get(minted())).json()["facilities"] == ["City"]


async def test_a_client_that_has_keys_here_is_not_the_one_that_the_issuer_means(sqlite_engine, at):
    builtin = replace(REGISTERED, key_sets=(ClientKeySet(jwks("RS384 a").decode()),))
    site = await site_of(sqlite_engine, at, builtin)
    assert (await site.get(minted())).status_code == 401


async def test_a_token_of_a_disabled_client_passes_no_more_within_five_seconds_and_again_once_it_is_enabled(
    sqlite_engine, at
):
    site = await site_of(sqlite_engine, at)
    token = minted()
    assert (await site.get(token)).status_code == 200
    await site.clients.disable(APP, "", NOW * 1_000_000)
    at["at"] += TRUSTED
    assert TRUSTED <= 5
    assert (await site.get(token)).status_code == 401
    await site.clients.enable(APP, "", NOW * 1_000_000)
    at["at"] += TRUSTED
    assert (await site.get(token)).status_code == 200


async def test_a_token_ends_at_its_exp_though_it_was_used_just_before(sqlite_engine, at):
    site = await site_of(sqlite_engine, at)
    token = minted(exp=NOW + 2)
    assert (await site.get(token)).status_code == 200
    at["at"] += 1.9
    assert (await site.get(token)).status_code == 200
    at["at"] += 0.2
    assert site.parts.tokens.warm(token.encode()) is None
    assert (await site.get(token)).status_code == 401


async def test_a_token_ends_with_the_registration_of_its_client(sqlite_engine, at):
    site = await site_of(sqlite_engine, at, replace(REGISTERED, expires=(NOW + 1) * 1_000_000))
    token = minted()
    assert (await site.get(token)).status_code == 200
    at["at"] += 1.1
    assert (await site.get(token)).status_code == 401


async def test_a_token_in_use_ends_soon_after_its_key_is_withdrawn(sqlite_engine, at):
    site = await site_of(sqlite_engine, at)
    token = minted()
    assert (await site.get(token)).status_code == 200
    site.documents.has_keys("RS256 b")
    await site.parts.issuer.renew()
    at["at"] += TRUSTED
    assert (await site.get(token)).status_code == 401
    assert (await site.get(minted("RS256 b"))).status_code == 200


async def test_an_issuer_that_is_silent_gives_503_for_a_new_key_and_nothing_for_a_known_one(sqlite_engine, at):
    site = await site_of(sqlite_engine, at)
    assert (await site.get(minted())).status_code == 200
    site.documents.is_silent()
    await site.parts.issuer.renew()
    answer = await site.get(minted("RS256 b"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "issuer-unavailable"
    assert (await site.get(minted(sub="another"))).status_code == 200


async def test_no_token_is_needed_for_the_smart_configuration(sqlite_engine, at):
    site = await site_of(sqlite_engine, at)
    assert (await site.get(None, "/fhir/.well-known/smart-configuration")).status_code == 200
    assert (await site.get(None)).status_code == 401
