"""The URL of the token endpoint is the one that clients see, and never a guess.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html: it is the audience of each assertion.
"""

from __future__ import annotations

import pytest
from fakes.assertions import TOKEN_URL

from gateway.auth.builtin import builtin, token_url_of
from gateway.runtime.errors import ConfigError
from gateway.settings import Settings


@pytest.mark.parametrize(
    ("base", "issuer", "url"),
    [
        ("https://gateway.example/fhir", None, TOKEN_URL),
        ("http://127.0.0.1:8800/fhir", None, "http://127.0.0.1:8800/auth/token"),
        ("https://gateway.example/radiology/fhir", None, "https://gateway.example/radiology/auth/token"),
        ("https://gateway.example/r4", "https://login.example", "https://login.example/auth/token"),
        ("https://gateway.example/r4", "https://login.example/", "https://login.example/auth/token"),
    ],
)
def test_the_token_endpoint_stands_below_the_issuer_or_beside_the_fhir_base(base, issuer, url):
    assert token_url_of(settings_of(base, issuer)) == url


def settings_of(base, issuer=None):
    return Settings(server={"public_url": base}, auth={"mode": "builtin", "issuer": issuer})


def test_without_either_the_setting_is_named():
    with pytest.raises(ConfigError, match=r"auth\.issuer: missing, and server\.public_url does not end in /fhir"):
        token_url_of(settings_of("https://gateway.example/r4"))


async def test_a_revoked_token_is_dropped_from_the_cache_of_the_same_process(sqlite_engine):
    parts = builtin(sqlite_engine, settings_of("https://gateway.example/fhir"))
    assert parts.service.token_url == TOKEN_URL
    assert parts.service.forget == parts.tokens.forget
