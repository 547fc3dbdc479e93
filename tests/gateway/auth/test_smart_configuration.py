"""A client finds the token endpoint at the well-known address, without a token.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
"""

from __future__ import annotations

from fakes.assertions import TOKEN_URL
from fakes.issuer import ISSUER, external_site
from fakes.token_site import token_site

from gateway.auth.scopes import parsed
from gateway.auth.smart_configuration import WELL_KNOWN


async def test_the_configuration_names_the_endpoints_and_what_they_take(sqlite_engine):
    site = await token_site(sqlite_engine)
    answer = await site.get(WELL_KNOWN)
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert said["token_endpoint"] == TOKEN_URL
    assert said["introspection_endpoint"] == "https://gateway.example/auth/introspect"
    assert said["revocation_endpoint"] == "https://gateway.example/auth/revoke"
    assert said["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert said["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert said["grant_types_supported"] == ["client_credentials"]
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert {"client-confidential-asymmetric", "permission-v2"} <= set(said["capabilities"])
    assert not {"permission-user", "permission-patient"} & set(said["capabilities"]), "the external issuer's alone"
    assert [str(parsed(one)) for one in said["scopes_supported"]] == said["scopes_supported"]


async def test_it_is_only_read(sqlite_engine):
    site = await token_site(sqlite_engine)
    head = await site.client.head(WELL_KNOWN)
    assert (head.status_code, head.content) == (200, b"")
    posted = await site.client.post(WELL_KNOWN)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


async def test_that_of_an_external_issuer_is_the_issuer_s_and_without_it_the_client_is_told_to_ask_again(sqlite_engine):
    site = await external_site(sqlite_engine)
    before = dict(site.documents.by_url)
    site.documents.is_silent()
    silent = await site.get(None, WELL_KNOWN)
    assert (silent.status_code, silent.headers["retry-after"]) == (503, "5")
    site.documents.by_url = before
    await site.parts.issuer.renew()
    answer = await site.get(None, WELL_KNOWN)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_endpoint"] == f"{ISSUER}/token"
    assert "introspection_endpoint" not in answer.json(), "the gateway does not describe tokens of another"
