"""A client's key is made once, for its owner only, and signs assertions that a token endpoint takes.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import json
import stat
from contextlib import nullcontext

import pytest
from joserfc.jwk import ECKey, RSAKey

from gateway.auth.client_assertion import assertion
from gateway.auth.key_set import key_set
from gateway.auth.refusals import TokenRefused
from gateway.runtime.client_key import made_client_key, printed_keys, read_client_key
from gateway.runtime.errors import ConfigError

URL = "https://ehr.example/token"


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_an_assertion_is_taken_by_whoever_has_the_printed_keys(tmp_path, algorithm):
    key = made_client_key(tmp_path / "key.pem", algorithm)
    made = assertion(key.assertion("us", URL, 1_000), URL, 1_001.0)
    known = key_set(printed_keys(key).encode()).find(made.key_id, made.algorithm)
    made.verify(known)
    assert (made.client_id, made.algorithm, made.used_until) == ("us", algorithm, 1_301)
    other = made_client_key(tmp_path / "other.pem", algorithm)
    with pytest.raises(TokenRefused):
        assertion(other.assertion("us", URL, 1_000), URL, 1_001.0).verify(known)


def test_no_two_assertions_have_one_id(tmp_path):
    key = made_client_key(tmp_path / "key.pem", "ES384")
    assert len({assertion(key.assertion("us", URL, 1_000), URL, 1_001.0).jti for _ in range(3)}) == 3


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    file = tmp_path / "key.pem"
    first = printed_keys(made_client_key(file, "ES384"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert printed_keys(made_client_key(file, "RS384")) == first
    assert "d" not in json.loads(first)["keys"][0]


@pytest.mark.parametrize("case", ["absent", "text", "public", "weak", "small curve"])
def test_what_is_no_such_key_is_refused_with_the_setting(tmp_path, case):
    file = tmp_path / "key.pem"
    texts = {
        "text": lambda: b"secret",
        "public": lambda: ECKey.generate_key("P-384").as_pem(private=False),
        "weak": lambda: RSAKey.generate_key(1_024).as_pem(private=True),
        "small curve": lambda: ECKey.generate_key("P-256").as_pem(private=True),
    }
    if case in texts:
        with pytest.warns() if case == "weak" else nullcontext():
            file.write_bytes(texts[case]())
    with pytest.raises(ConfigError, match=r"destination\[0\].ehr_key_file") as refused:
        read_client_key(file, "settings", "destination[0].ehr_key_file")
    assert "secret" not in str(refused.value)


def test_a_key_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be made"):
        made_client_key(tmp_path / "nowhere" / "key.pem", "ES384")
