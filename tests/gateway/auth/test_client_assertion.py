"""An assertion proves a client by its signature, for this token endpoint alone, for five minutes and no longer.

RFC 7523 §3, RFC 8725. PyJWT makes the assertions, and is the oracle: what it refuses is refused here, too.
"""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from fakes.assertions import CLIENT, NOW, TOKEN_URL, claims, jwks, key_pair, raw, signed
from hypothesis import given
from hypothesis import strategies as some

from gateway.auth.client_assertion import MOST_SECONDS, SKEW, assertion
from gateway.auth.key_set import key_set
from gateway.auth.refusals import TokenRefused

KEYS = key_set(jwks("RS384 a", "ES384 a"))
HEADER = {"alg": "RS384", "kid": "RS384 a", "typ": "JWT"}
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
TIMES = some.none() | some.integers(-400, 400).map(lambda one: NOW + one) | some.floats(NOW - 400, NOW + 400)


def verdict(compact, now=NOW):
    """Return the reason of a refusal, empty for an assertion that is accepted."""
    try:
        one = assertion(compact, TOKEN_URL, now)
        key = KEYS.find(one.key_id, one.algorithm)
        if key is None:
            return "key-unknown"
        one.verify(key)
    except TokenRefused as refused:
        assert refused.error == "invalid_client"
        return refused.reason
    return ""


def oracle(compact, monkeypatch_now=NOW):
    """Return if PyJWT accepts the assertion with the rules of SMART, and our leeway for `iat` and `nbf`."""
    name = jwt.get_unverified_header(compact)["kid"]
    options = {"require": ["exp", "iss", "sub", "aud", "jti"], "verify_exp": False, "verify_iat": False}
    try:
        read = jwt.decode(
            compact,
            key_pair(name).public_key(),
            ["RS384", "ES384"],
            options={**options, "verify_nbf": False},
            audience=TOKEN_URL,
            issuer=CLIENT,
            subject=CLIENT,
        )
    except jwt.PyJWTError:
        return False
    early = any(read.get(one, 0) > monkeypatch_now + SKEW for one in ("iat", "nbf"))
    return read["exp"] > monkeypatch_now and not early


@pytest.mark.parametrize("name", ["RS384 a", "ES384 a"])
def test_an_assertion_that_pyjwt_makes_is_accepted(name):
    compact = signed(claims(), name)
    assert oracle(compact)
    assert verdict(compact) == ""
    read = assertion(compact, TOKEN_URL, NOW)
    assert (read.client_id, read.key_id, read.algorithm, read.key_set_url) == (CLIENT, name, name.split()[0], None)
    assert read.used_until > NOW + MOST_SECONDS + SKEW, "it counts as used until no clock takes it any more"


@given(exp=TIMES, iat=TIMES, nbf=TIMES)
def test_whatever_times_pyjwt_refuses_are_refused(exp, iat, nbf):
    compact = signed(claims(exp=exp, iat=iat, nbf=nbf))
    if not oracle(compact):
        assert verdict(compact)
    if not verdict(compact):
        assert exp <= NOW + MOST_SECONDS + SKEW
        assert iat is None or exp <= iat + MOST_SECONDS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW}, "expired"),
        ({"exp": NOW + 1}, ""),
        ({"exp": NOW + MOST_SECONDS + 1}, "exp-far-ahead"),
        ({"exp": NOW + MOST_SECONDS + SKEW, "iat": NOW + SKEW}, ""),
        ({"exp": NOW + MOST_SECONDS + SKEW + 1, "iat": None}, "exp-far-ahead"),
        ({"iat": NOW + SKEW + 1, "exp": NOW + 299}, "not-yet-valid"),
        ({"nbf": NOW + SKEW}, ""),
        ({"nbf": NOW + SKEW + 1}, "not-yet-valid"),
        ({"aud": [TOKEN_URL]}, ""),
    ],
)
def test_times_and_audience_have_exact_edges(changes, reason):
    assert verdict(signed(claims(**changes))) == reason


def test_each_part_of_an_assertion_has_one_written_form():
    header, payload = (base64.urlsafe_b64encode(json.dumps(one).encode()) for one in (HEADER, claims(jti="j" * 32)))
    [text] = [
        one for one in (payload, base64.urlsafe_b64encode(json.dumps(claims(jti="j" * 31)).encode())) if b"=" in one
    ][:1]
    text = text.rstrip(b"=")
    other = text[:-1] + bytes([ALPHABET[ALPHABET.index(text[-1]) + 1]])  # unused bits: it decodes to the same
    assert base64.urlsafe_b64decode(other + b"==") == base64.urlsafe_b64decode(text + b"==")
    for part, reason in ((text, ""), (other, "assertion-malformed")):
        parts = b".".join([header.rstrip(b"="), part])
        signature = jwt.get_algorithm_by_name("RS384").sign(parts, key_pair("RS384 a"))
        assert verdict(b".".join([parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()) == reason


def test_an_algorithm_that_is_not_of_smart_is_refused_before_any_key_is_looked_for():
    for algorithm in ("RS256", "PS384"):
        assert verdict(signed(claims(), algorithm=algorithm)) == "wrong-algorithm"


def test_the_algorithm_of_a_key_is_the_only_one_it_may_be_used_with():
    assert verdict(signed(claims(), "ES384 a", kid="RS384 a")) == "key-unknown"
    assert verdict(signed(claims(), "RS384 b", kid="RS384 a")) == "wrong-signature"


def test_an_assertion_of_which_one_letter_was_changed_is_refused():
    compact = signed(claims(jti="a" * 32))
    for at in range(0, len(compact), 7):
        changed = compact[:at] + ("A" if compact[at] != "A" else "B") + compact[at + 1 :]
        assert verdict(changed)


def test_two_readers_never_read_two_things_in_one_assertion():
    header = json.dumps({"alg": "RS384", "kid": "RS384 a", "typ": "JWT"}).encode()
    good = json.dumps(claims()).encode()
    assert verdict(raw(header, good)) == ""
    for other in (good[:-1] + b', "sub": "admin"}', good + b" {}", b"[" + good + b"]", good.replace(b"{", b"\xff{")):
        assert verdict(raw(header, other)) == "assertion-malformed"


def test_each_assertion_has_a_name_of_its_own_and_shows_no_secret():
    one, other = (assertion(signed(claims(jti=jti)), TOKEN_URL, NOW) for jti in ("first", "second"))
    assert one.digest != other.digest == assertion(signed(claims(jti="second")), TOKEN_URL, NOW).digest
    assert "first" not in repr(one)
    assert one.compact not in repr(one)
