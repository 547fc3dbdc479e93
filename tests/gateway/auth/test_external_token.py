"""A token of the external issuer is read as it is written, and PyJWT agrees with each verdict about a signature.

RFC 9068 §2 and §4, RFC 8725.
"""

from __future__ import annotations

import json
from random import Random

import jwt
import pytest
from fakes.assertions import NOW, key_pair, public_jwk, raw
from fakes.issuer import APP, AUDIENCE, ISSUER, KEY, RULES, minted, token_claims

from gateway.auth.external_token import LEEWAY, external_token
from gateway.auth.key_set import ISSUER_ALGORITHMS, key_set
from gateway.auth.launch_patient import PatientNumber
from gateway.auth.refusals import TokenRefused


def read(token, now=NOW, rules=RULES):
    return external_token(token, rules, now)


def test_a_good_token_names_client_user_scopes_and_end():
    token = read(minted())
    assert (token.client_id, token.user, token.patient) == (APP, "user-1", None)
    assert [str(one) for one in token.scopes] == ["system/DiagnosticReport.rs"]
    assert (token.expires, token.key_id, token.algorithm) == ((NOW + 600) * 1_000_000, KEY, "RS256")


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt"])
def test_the_type_is_that_of_an_access_token_or_jwt(kind):
    assert read(minted(header={"typ": kind}))


@pytest.mark.parametrize("named", [{"azp": APP}, {"client_id": APP}, {"azp": APP, "client_id": APP}])
def test_the_client_is_named_by_either_claim(named):
    assert read(minted(**{"azp": None, **named})).client_id == APP


def test_the_audience_may_stand_alone_in_a_list():
    assert read(minted(aud=[AUDIENCE]))


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("openid system/Patient.r profile", ["system/Patient.r"]),
        (["system/Patient.r", "openid"], ["system/Patient.r"]),
        (["system/Patient.r system/Observation.r"], []),
        ("system/Patient.read", ["system/Patient.rs"]),
        ("", []),
        ([], []),
        (None, []),
    ],
)
def test_scopes_are_a_text_or_a_list_and_other_words_give_nothing(scope, found):
    assert [str(one) for one in read(minted(scope=scope)).scopes] == found


@pytest.mark.parametrize(
    ("claim", "patient"),
    [
        ("pat-1", "pat-1"),
        ("Patient/pat-1", "pat-1"),
        (None, None),
        ("", None),
        ("Patient/", None),
        ("Practitioner/pat-1", None),
        ("https://gateway.example/fhir/Patient/pat-1", None),
        ("pat-1\n", None),
        ("urn:oid:1.2.3|MRN-1", PatientNumber("urn:oid:1.2.3", "MRN-1")),
        ("urn:oid:1.2.3| MRN-1|2 ", PatientNumber("urn:oid:1.2.3", "MRN-1|2")),
        ("|MRN-1", PatientNumber("", "MRN-1")),
        ("urn:oid:1.2.3|", PatientNumber("urn:oid:1.2.3", "")),
        ("urn:oid:1.2.3|" + "1" * 256, None),
        ("a" * 65, None),
        (["pat-1"], None),
        ({"id": "pat-1"}, None),
        (7, None),
    ],
)
def test_patient_scopes_need_the_id_or_the_number_of_one_patient(claim, patient):
    token = read(minted(scope="patient/*.rs system/Patient.r user/Patient.r", patient=claim))
    assert token.patient == patient
    contexts = {one.context for one in token.scopes}
    assert contexts == ({"system", "user", "patient"} if patient else {"system", "user"})


def test_a_token_that_the_client_has_for_itself_has_no_user_and_no_user_scopes():
    token = read(minted(sub=APP, scope="user/*.rs system/Patient.r"))
    assert (token.user, [str(one) for one in token.scopes]) == (None, ["system/Patient.r"])


def test_scopes_and_patient_come_from_the_claims_that_the_settings_name():
    rules = type(RULES)(ISSUER, AUDIENCE, "roles", "fhir_patient")
    token = read(minted(scope="system/*.cruds", roles=["patient/*.rs"], fhir_patient="pat-1"), rules=rules)
    assert ([str(one) for one in token.scopes], token.patient) == (["patient/*.rs"], "pat-1")


def test_the_end_has_no_leeway_and_the_beginning_a_little():
    assert read(minted(), now=NOW + 599)
    with pytest.raises(TokenRefused, match="expired"):
        read(minted(), now=NOW + 600)
    for name in ("iat", "nbf"):
        assert read(minted(**{name: NOW + LEEWAY}))
        with pytest.raises(TokenRefused, match="not-yet-valid"):
            read(minted(**{name: NOW + LEEWAY + 1}))
    assert LEEWAY <= 30


def test_neither_user_nor_patient_nor_text_of_a_token_is_shown():
    text = minted(sub="user-secret", patient="urn:oid:1.2.3|pat-secret", scope="patient/*.rs")
    assert not {"user-secret", "pat-secret", text} & set(repr(read(text)).replace("'", " ").split())
    assert "secret" not in repr(read(text))


@pytest.mark.parametrize("algorithm", ISSUER_ALGORITHMS)
def test_every_algorithm_of_the_list_is_verified_as_pyjwt_does(algorithm):
    mine, other = f"{algorithm} a", f"{algorithm} b"
    keys = key_set(json.dumps({"keys": [public_jwk(mine)]}).encode(), ISSUER_ALGORITHMS)
    for signer in (mine, other):
        text = minted(signer, header={"kid": mine})
        token = read(text)
        key = keys.find(token.key_id, token.algorithm)
        try:
            jwt.decode(
                text,
                key_pair(mine).public_key(),
                [algorithm],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidSignatureError:
            with pytest.raises(TokenRefused, match="wrong-signature"):
                token.verify(key)
            assert signer == other
        else:
            token.verify(key)
            assert signer == mine


def pyjwt_takes(text):
    """Return True if PyJWT accepts a token with the same rules; the times are compared elsewhere."""
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "sub"]}
    key = key_pair(KEY).public_key()
    try:
        jwt.decode(text, key, ["RS256", "PS256"], audience=AUDIENCE, issuer=ISSUER, options=options)
    except jwt.InvalidTokenError:
        return False
    return True


def is_taken(text, keys):
    try:
        token = read(text)
        token.verify(keys.find(token.key_id, token.algorithm))
    except (TokenRefused, AttributeError):  # no such key
        return False
    return True


def test_whatever_is_accepted_of_a_thousand_damaged_tokens_pyjwt_accepts_too():
    random, taken = Random(7), 0
    keys = key_set(json.dumps({"keys": [public_jwk(KEY)]}).encode(), ISSUER_ALGORITHMS)
    values = [None, "", AUDIENCE, ISSUER, APP, [AUDIENCE], [AUDIENCE, "x"], NOW + 60, NOW - 60, {"a": 1}]
    whole = [minted(), minted("RS256 b", {"kid": KEY}), minted(scope="system/*.cruds")]
    for _ in range(1_000):
        changes = {random.choice(["iss", "aud", "azp", "sub", "exp", "scope", "other"]): random.choice(values)}
        signer = random.choice([KEY, KEY, "RS256 b"])
        claims = json.dumps(token_claims(**changes)).encode()
        text = random.choice([*whole, raw(b'{"alg":"RS256","typ":"JWT","kid":"RS256 a"}', claims, signer)])
        if random.random() < 0.3:
            at = random.randrange(len(text))
            text = text[:at] + random.choice("AZaz09-_.") + text[at + 1 :]
        if random.random() < 0.1:
            text = ".".join([*random.choice(whole).split(".")[:2], text.rpartition(".")[2]])
        if is_taken(text, keys):
            taken += 1
            assert pyjwt_takes(text), text
    assert 100 < taken < 900, "both verdicts are common"


def test_the_claims_of_the_tests_are_those_of_rfc_9068():
    assert {"iss", "exp", "aud", "sub", "iat"} <= token_claims().keys()
