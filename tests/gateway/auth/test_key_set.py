"""Of a key set those keys count that an assertion may be signed with; what is wrong with the others is said.

RFC 7517, RFC 7518 §6.
"""

from __future__ import annotations

import json

import pytest
from fakes.assertions import jwks, key_pair, public_jwk

from gateway.auth.key_set import MOST_BYTES, KeySetInvalid, key_set


def document(*keys):
    return json.dumps({"keys": keys}).encode()


def test_keys_are_found_by_id_and_algorithm():
    found = key_set(jwks("RS384 a", "RS384 b", "ES384 a"))
    assert set(found.keys) == {("RS384 a", "RS384"), ("RS384 b", "RS384"), ("ES384 a", "ES384")}
    assert found.faults == ()
    assert found.find("RS384 a", "RS384") is not None
    for other in (("RS384 a", "ES384"), ("RS384 c", "RS384")):
        assert found.find(*other) is None


def test_keys_that_are_no_use_are_left_out_and_named_by_their_place():
    found = key_set(document(public_jwk("ES256 a"), public_jwk("RS384 a"), {"kty": "oct"}, "text"))
    assert set(found.keys) == {("RS384 a", "RS384")}
    assert [one.split(":")[0] for one in found.faults] == ["keys[0]", "keys[2]", "keys[3]"]


def test_of_two_keys_with_one_id_neither_is_taken_since_nobody_knows_which_is_meant():
    twice = [public_jwk("RS384 a", kid="k"), public_jwk("RS384 b", kid="k"), public_jwk("ES384 a", kid="k")]
    assert set(key_set(document(*twice)).keys) == {("k", "ES384")}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"kid": None}, "no kid"),
        ({"kid": ""}, "no kid"),
        ({"kid": "k" * 257}, "no kid"),
        ({"use": "enc"}, "not for signatures"),
        ({"key_ops": ["encrypt"]}, "not for signatures"),
        ({"key_ops": "verify"}, "not for signatures"),
        ({"alg": "RS256"}, "alg is not RS384"),
        ({"kty": "EC"}, "neither an RSA key nor an EC key of P-384"),
        ({"kty": ["RSA"]}, "neither an RSA key nor an EC key of P-384"),
        ({"n": None}, "no key that can be read"),
        ({"n": "!"}, "no key that can be read"),
        ({"e": "AQ"}, "no key that can be read"),
        ({"e": "AQAAAAE"}, "an RSA key that has not"),
        ({"d": "AQAB"}, "a private or secret key"),
        ({"k": "AQAB"}, "a private or secret key"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_with_the_reason(key, said):
    with pytest.raises(KeySetInvalid, match=said):
        key_set(document(public_jwk("RS384 a", **key)))


def test_a_weak_or_a_huge_rsa_key_is_refused():
    with pytest.raises(KeySetInvalid, match="has not 2048 to 8192 bits"):
        key_set(document(public_jwk("RS384 a 1024")))


def test_a_point_that_is_not_on_the_curve_is_refused():
    wrong = public_jwk("ES384 a", x=public_jwk("ES384 b")["x"])
    with pytest.raises(KeySetInvalid, match="no key that can be read"):
        key_set(document(wrong))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"keys"',
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [], "keys": []}',
        b'{"keys": ' + b"[" * 9_000 + b"]" * 9_000 + b"}",
        b"\xff\xfe",
        b'{"keys": NaN}',
        json.dumps({"keys": [{"kty": "RSA"}] * 101}).encode(),
        b" " * MOST_BYTES + b"{}",
    ],
)
def test_what_is_no_key_set_is_refused_whole(text):
    with pytest.raises(KeySetInvalid):
        key_set(text)


def test_a_refusal_repeats_nothing_of_the_document():
    secret = key_pair("RS384 a").private_numbers().d
    with pytest.raises(KeySetInvalid) as refused:
        key_set(document(public_jwk("RS384 a", d=str(secret))))
    assert str(secret) not in str(refused.value)
