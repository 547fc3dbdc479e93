"""A discovery document counts only if it is of the issuer of the settings, and each fault names a setting.

OpenID Connect Discovery 1.0 §3, §4; https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
"""

from __future__ import annotations

import json

import pytest
from fakes.issuer import DISCOVERY_URL, ISSUER, JWKS_URL, Documents, described

from gateway.auth.discovery import ask_issuer, smart_configuration_of
from gateway.auth.key_set_fetch import KeySetUnreachable
from gateway.auth.smart_configuration import Endpoints


async def found(document=None, keys=None, jwks_url=None, issuer=ISSUER):
    documents = Documents()
    if document is not None:
        documents.by_url[DISCOVERY_URL] = document if isinstance(document, bytes) else json.dumps(document).encode()
    if keys is not None:
        documents.by_url[JWKS_URL] = keys
    return await ask_issuer(documents.fetch, issuer, jwks_url)


async def test_a_good_issuer_has_no_fault():
    answer = await found()
    assert answer.faults == ()
    assert answer.keys.find("RS256 a", "RS256")
    assert answer.discovery.endpoints == Endpoints(f"{ISSUER}/token", f"{ISSUER}/authorize")


@pytest.mark.parametrize(
    ("document", "keys", "key", "code"),
    [
        (b"no JSON", None, "auth.issuer", "discovery-malformed"),
        (b"[]", None, "auth.issuer", "discovery-malformed"),
        (b'{"issuer": "a", "issuer": "b"}', None, "auth.issuer", "discovery-malformed"),
        (described(issuer=f"{ISSUER}/"), None, "auth.issuer", "discovery-of-another-issuer"),
        (described(issuer=ISSUER.upper()), None, "auth.issuer", "discovery-of-another-issuer"),
        (described(issuer=None), None, "auth.issuer", "discovery-of-another-issuer"),
        (described(jwks_uri=None), None, "auth.issuer", "no-jwks-uri"),
        (described(jwks_uri="http://login.example/keys"), None, "auth.issuer", "no-jwks-uri"),
        (described(jwks_uri=["https://login.example/keys"]), None, "auth.issuer", "no-jwks-uri"),
        (described(jwks_uri="https://elsewhere.example/keys"), None, "auth.issuer", "jwks-no-answer"),
        (None, b"{}", "auth.issuer", "jwks-malformed"),
        (None, b'{"keys": []}', "auth.issuer", "jwks-malformed"),
    ],
)
async def test_a_fault_names_the_setting_and_gives_no_keys(document, keys, key, code):
    answer = await found(document, keys)
    assert [(one.key, one.code) for one in answer.faults] == [(key, code)]
    assert answer.keys is None


async def test_the_keys_of_a_set_url_need_no_discovery_document():
    answer = await found(b"no JSON", jwks_url=JWKS_URL)
    assert [one.code for one in answer.faults] == ["discovery-malformed"]
    assert answer.keys.find("RS256 a", "RS256")
    assert [one.key for one in (await found(keys=b"{}", jwks_url=JWKS_URL)).faults] == ["auth.jwks_url"]


async def test_an_issuer_in_the_own_network_is_named_as_such():
    async def private(url):
        raise KeySetUnreachable("private-address")

    [fault] = (await ask_issuer(private, ISSUER, None)).faults
    assert (fault.key, fault.code) == ("auth.allow_private_jwks", "discovery-private-address")


async def test_the_document_of_an_issuer_with_a_slash_at_its_end_has_one_slash_in_its_url():
    documents = Documents()
    documents.by_url[DISCOVERY_URL] = json.dumps(described(issuer=f"{ISSUER}/")).encode()
    assert (await ask_issuer(documents.fetch, f"{ISSUER}/", None)).faults == ()


async def test_the_smart_configuration_leads_to_the_issuer_and_claims_what_it_says():
    said = smart_configuration_of(ISSUER, (await found()).discovery)
    assert (said["issuer"], said["jwks_uri"], said["token_endpoint"]) == (ISSUER, JWKS_URL, f"{ISSUER}/token")
    assert said["grant_types_supported"] == ["authorization_code", "client_credentials"]
    assert said["code_challenge_methods_supported"] == ["S256"], "SMART forbids plain"
    assert said["capabilities"] == [
        "client-confidential-asymmetric",
        "client-confidential-symmetric",
        "permission-v1",
        "permission-v2",
        "permission-user",
        "permission-patient",
    ]
    assert {"system/*.rs", "user/*.rs", "patient/*.rs"} <= set(said["scopes_supported"])


async def test_what_the_issuer_does_not_say_is_not_claimed():
    bare = {"issuer": ISSUER, "jwks_uri": JWKS_URL, "token_endpoint": "http://login.example/token", "secret": "x"}
    answer = await found(bare)
    said = smart_configuration_of(ISSUER, answer.discovery)
    assert answer.discovery.endpoints is None
    assert "client-confidential-asymmetric" not in said["capabilities"]
    assert said["grant_types_supported"] == ["authorization_code", "implicit"], "what holds by OpenID Connect"
    assert not {"token_endpoint", "secret", "code_challenge_methods_supported"} & said.keys()
