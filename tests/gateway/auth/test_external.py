"""The settings of an external issuer name what is missing, and the parts are put together by them.

RFC 9068; OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import asyncio

import pytest
from fakes.issuer import AUDIENCE, DISCOVERY_URL, ISSUER, JWKS_URL, RULES, Documents, external_settings

from gateway.auth.external import external, token_rules
from gateway.auth.key_set_fetch import KeySetFetch
from gateway.auth.smart_configuration import Endpoints
from gateway.runtime.errors import ConfigError, IssuerUnavailable
from gateway.runtime.loops import alongside
from mappings.profile import Site


def test_the_rules_are_those_of_the_settings():
    assert token_rules(external_settings()) == RULES
    rules = token_rules(external_settings(scope_claim="roles", patient_claim="fhir_patient"))
    assert (rules.scope_claim, rules.patient_claim, rules.audience) == ("roles", "fhir_patient", AUDIENCE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": None}, "auth.issuer: missing"),
        ({"audience": None}, "auth.audience: missing"),
        ({"issuer": "http://127.0.0.1:8800"}, "auth.issuer: not an https URL"),
        ({"jwks_url": "http://login.example/keys"}, "auth.jwks_url: not an https URL"),
    ],
)
def test_what_is_missing_or_not_https_is_named(changes, said):
    with pytest.raises(ConfigError, match=said):
        token_rules(external_settings(**changes))


async def test_the_loop_asks_the_issuer_at_the_start_and_the_endpoints_are_known_then(sqlite_engine):
    documents = Documents()
    parts = external(sqlite_engine, external_settings(), Site(), documents.fetch)
    assert parts.endpoints is None
    async with alongside(parts.loops()):
        while parts.endpoints is None:
            await asyncio.sleep(0.01)
    assert parts.endpoints == Endpoints(f"{ISSUER}/token", f"{ISSUER}/authorize")
    assert documents.asked == [DISCOVERY_URL, JWKS_URL]


async def test_without_an_answer_there_is_no_smart_configuration(sqlite_engine):
    documents = Documents()
    parts = external(sqlite_engine, external_settings(), Site(), documents.fetch)
    before = dict(documents.by_url)
    documents.is_silent()
    with pytest.raises(IssuerUnavailable):
        await parts.smart_configuration()
    documents.by_url = before
    await parts.issuer.renew()
    documents.is_silent()
    await parts.issuer.renew()
    assert (await parts.smart_configuration())["token_endpoint"] == f"{ISSUER}/token", "the last one stays"


@pytest.mark.parametrize("allows", [True, False])
async def test_private_addresses_of_the_issuer_need_the_setting(sqlite_engine, allows):
    parts = external(sqlite_engine, external_settings(allow_private_jwks=allows), Site())
    assert isinstance(parts.issuer._fetch, KeySetFetch)
    assert parts.issuer._fetch._backend._allows_private is allows
