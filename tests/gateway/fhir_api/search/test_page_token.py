"""https://hl7.org/fhir/R4/http.html#paging: a page token is opaque (D9), and cannot be forged or changed."""

import base64
import json
import re
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from gateway.fhir_api.search.page_token import Tokens
from gateway.runtime.request_errors import BadRequest, PageExpired

KEY = b"k" * 32
NOW = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAME = "Zaphodine Quuxbury"
STATE = {"criteria": [["name", NAME], ["birthdate", "1971-04-02"]], "after": ["2026-01-05", "rep-1"]}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def tokens():
    return Tokens(KEY)


@given(JSON_VALUES)
def test_what_is_sealed_is_opened_by_any_gateway_of_the_site(state):
    token = Tokens(KEY).seal(state, NOW, HOUR, resource_type="Patient", scope="user/1")
    assert Tokens(bytes(KEY)).open(token, NOW, resource_type="Patient", scope="user/1") == state


def test_a_token_can_stand_in_a_url_as_it_is(tokens):
    assert re.fullmatch(r"[A-Za-z0-9_-]+", tokens.seal(STATE, NOW, HOUR))


@pytest.mark.parametrize("word", [NAME, "Zaphodine", "Quuxbury", "1971-04-02", "criteria"])
def test_nothing_of_the_state_shows_in_any_form(tokens, word):
    token = tokens.seal(STATE, NOW, HOUR).encode()
    sealed = base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4))
    plain = word.encode()
    in_base64 = [base64.urlsafe_b64encode(b" " * shift + plain)[4:-4] for shift in range(3)]
    for form in (plain, plain.hex().encode(), zlib.compress(plain)[2:-4], *in_base64):
        assert len(form) >= 4
        assert form not in token
        assert form not in sealed


def test_no_two_tokens_are_alike(tokens):
    assert len({tokens.seal(STATE, NOW, HOUR) for _ in range(50)}) == 50


def test_a_token_that_any_bit_was_changed_of_is_refused(tokens):
    token = tokens.seal({"after": 1}, NOW, HOUR)
    for place in range(len(token)):
        for bit in range(7):
            changed = token[:place] + chr(ord(token[place]) ^ 1 << bit) + token[place + 1 :]
            with pytest.raises(BadRequest):
                tokens.open(changed, NOW)


def test_the_same_bytes_written_in_another_way_are_refused(tokens):
    """The last character of a token has unused bits."""
    token = next(one for one in (tokens.seal("x" * size, NOW, HOUR) for size in range(9)) if len(one) % 4)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [token[:-1] + one for one in alphabet if one != token[-1]]
    padded = token + "=" * (-len(token) % 4)
    same = [one for one in others if base64.urlsafe_b64decode(one + "==") == base64.urlsafe_b64decode(token + "==")]
    assert same
    for changed in [*same, padded, token + "\n", token.replace("-", "+").replace("_", "/") + "="]:
        with pytest.raises(BadRequest):
            tokens.open(changed, NOW)


@pytest.mark.parametrize(
    "token", ["", "A", "AAAA", "A" * 16, "A" * 17, "A" * 40, "é", "\ud800", "a b", "%00", "A" * 5000]
)
def test_what_is_no_token_is_refused(tokens, token):
    with pytest.raises(BadRequest):
        tokens.open(token, NOW)


@given(st.text())
def test_nothing_that_a_client_sends_breaks_it(token):
    with pytest.raises(BadRequest):
        Tokens(KEY).open(token, NOW)


@pytest.mark.parametrize("after", [HOUR, HOUR + timedelta(microseconds=1), timedelta(days=400)])
def test_a_token_is_gone_when_its_time_is_over(tokens, after):
    token = tokens.seal(STATE, NOW, HOUR)
    with pytest.raises(PageExpired) as gone:
        tokens.open(token, NOW + after)
    assert (gone.value.http_status, gone.value.issue_code) == (410, "expired")
    assert tokens.open(token, NOW + HOUR - timedelta(milliseconds=1)) == STATE


@pytest.mark.parametrize(
    "other",
    [
        {"resource_type": "Patient", "scope": "user/2"},
        {"resource_type": "Patient"},
        {"resource_type": "DiagnosticReport", "scope": "user/1"},
        {"scope": "user/1"},
        {"resource_type": "Patient\0user/1"},
        {"resource_type": "", "scope": "Patientuser/1"},
    ],
)
def test_a_token_is_good_for_its_caller_and_its_type_alone(tokens, other):
    token = tokens.seal(STATE, NOW, HOUR, resource_type="Patient", scope="user/1")
    with pytest.raises(BadRequest):
        tokens.open(token, NOW, **other)
    with pytest.raises(BadRequest):
        tokens.open(token, NOW + 2 * HOUR, **other)


def test_a_token_of_another_site_is_refused(tokens):
    with pytest.raises(BadRequest) as refused:
        tokens.open(Tokens(b"l" * 32).seal(STATE, NOW, HOUR), NOW)
    assert NAME not in str(refused.value)


def test_the_key_of_the_tokens_is_not_the_site_key(tokens):
    """A leak of one key must not disclose the other: the site key also makes patient ids."""
    token = tokens.seal(STATE, NOW, HOUR)
    sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    with pytest.raises(InvalidTag):
        AESGCM(KEY).decrypt(sealed[:12], sealed[12:], json.dumps(["", ""]).encode())


def test_a_long_search_still_makes_a_short_token(tokens):
    state = {"criteria": [["code", f"http://loinc.org|{number}-4"] for number in range(18700, 18760)], "after": "rep-1"}
    assert len(tokens.seal(state, NOW, HOUR)) < 500
