"""Attacks on the token endpoint: each is a 400 or 401 with the error of RFC 6749, costs little, and reads little.

RFC 6749 §5.2, RFC 7523 §3, RFC 8725 (attacks on JWTs).
"""

from __future__ import annotations

import base64
import json
import time
from contextlib import AsyncExitStack
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.assertions import CLIENT, NOW, TOKEN_URL, claims, key_pair, public_jwk, raw, signed
from fakes.token_site import REGISTERED, form, token_site

from gateway.auth.token_endpoint import MOST_BYTES

FORM = "application/x-www-form-urlencoded"
PUBLIC_PEM = key_pair("RS384 a").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
HEADER = {"alg": "RS384", "kid": "RS384 a", "typ": "JWT"}


def part(value):
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=")


def unsigned(header, payload=None, signature=b""):
    """Join parts without any library, which would refuse to make some of these."""
    return b".".join([part(header), part(payload or claims()), part(signature)]).decode()


def of_hmac(algorithm="HS256"):
    """Sign with the public key as the secret of an HMAC (algorithm confusion, RFC 8725 §2.1)."""
    algorithms = jwt.algorithms.get_default_algorithms()
    parts = b".".join([part({"alg": algorithm, "kid": "RS384 a", "typ": "JWT"}), part(claims())])
    made = algorithms[algorithm].sign(parts, PUBLIC_PEM)
    return b".".join([parts, part(made)]).decode()


def cut(compact, at):
    return ".".join(compact.split(".")[:at])


def with_signature(compact, signature):
    return f"{compact.rpartition('.')[0]}.{signature}"


# Name of an attack -> the assertion
ASSERTIONS = {
    "alg none": lambda: unsigned({**HEADER, "alg": "none"}),
    "alg None in another case": lambda: unsigned({**HEADER, "alg": "nOnE"}),
    "alg is missing": lambda: unsigned({"kid": "RS384 a", "typ": "JWT"}),
    "alg is a list": lambda: unsigned({**HEADER, "alg": ["RS384"]}),
    "HS256 with the public key": of_hmac,
    "HS384 with the public key": lambda: of_hmac("HS384"),
    "RS256 with a registered key": lambda: signed(claims(), algorithm="RS256"),
    "PS384 with a registered key": lambda: signed(claims(), algorithm="PS384"),
    "ES256 with a key of its own": lambda: signed(claims(), "ES256 a"),
    "kid is missing": lambda: signed(claims(), kid=None),
    "kid of nobody": lambda: signed(claims(), kid="other"),
    "kid swapped for a key of another kind": lambda: signed(claims(), kid="ES384 a"),
    "kid of another key of the client": lambda: signed(claims(), "RS384 b", kid="RS384 a"),
    "kid is a path": lambda: signed(claims(), kid="../../etc/passwd"),
    "kid is SQL": lambda: signed(claims(), kid="' OR 1=1 --"),
    "kid is a number": lambda: unsigned({**HEADER, "kid": 1}),
    "jku of the attacker": lambda: signed(claims(), "RS384 b", kid="RS384 a", jku="https://attacker.example/"),
    "jku of the attacker beside a good signature": lambda: signed(claims(), jku="https://attacker.example/"),
    "x5u of the attacker": lambda: signed(claims(), x5u="https://attacker.example/"),
    "x5c in the header": lambda: signed(claims(), x5c=["MII="]),
    "jwk in the header": lambda: signed(claims(), "RS384 b", kid="RS384 a", jwk=public_jwk("RS384 b")),
    "crit with an extension": lambda: raw(json.dumps({**HEADER, "crit": ["b64"], "b64": False}).encode(), b"{}"),
    "crit nested": lambda: raw(json.dumps({**HEADER, "crit": [["crit"]]}).encode(), json.dumps(claims()).encode()),
    "zip in the header": lambda: signed(claims(), zip="DEF"),
    "typ of an access token": lambda: signed(claims(), typ="at+jwt"),
    "typ is missing": lambda: signed(claims(), typ=""),
    "header with a key twice": lambda: raw(
        b'{"alg":"RS384","kid":"RS384 a","typ":"JWT","alg":"RS384"}', json.dumps(claims()).encode()
    ),
    "claims with a key twice": lambda: raw(
        json.dumps(HEADER).encode(), json.dumps(claims()).encode()[:-1] + b',"sub":"client-0123456789abcdef"}'
    ),
    "claims are a list": lambda: raw(json.dumps(HEADER).encode(), b"[]"),
    "claims nested deeply": lambda: raw(json.dumps(HEADER).encode(), b'{"iss":' + b"[" * 4_000 + b"]" * 4_000 + b"}"),
    "claims are no UTF-8": lambda: raw(json.dumps(HEADER).encode(), b'{"iss":"\xff"}'),
    "claims hold NaN": lambda: raw(json.dumps(HEADER).encode(), b'{"iss":"x","exp":NaN}'),
    "exp is a number of 5,000 digits": lambda: raw(json.dumps(HEADER).encode(), b'{"exp":' + b"9" * 5_000 + b"}"),
    "wrong aud": lambda: signed(claims(aud="https://other.example/auth/token")),
    "aud is the FHIR base": lambda: signed(claims(aud="https://gateway.example/fhir")),
    "aud with a slash more": lambda: signed(claims(aud=f"{TOKEN_URL}/")),
    "aud in another case": lambda: signed(claims(aud=TOKEN_URL.upper())),
    "aud for two at once": lambda: signed(claims(aud=[TOKEN_URL, "https://other.example/"])),
    "aud is missing": lambda: signed(claims(aud=None)),
    "wrong iss": lambda: signed(claims(iss="client-2")),
    "wrong sub": lambda: signed(claims(sub="client-2")),
    "iss and sub of a client that is not there": lambda: signed(claims(iss="client-2", sub="client-2")),
    "iss is missing": lambda: signed({name: one for name, one in claims().items() if name != "iss"}),
    "iss and sub are missing": lambda: signed(claims(iss=None, sub=None)),
    "iss and sub hold NUL": lambda: signed(claims(iss="client\0", sub="client\0")),
    "iss and sub hold half a character": lambda: raw(
        json.dumps(HEADER).encode(), json.dumps(claims(iss="\ud800", sub="\ud800")).encode()
    ),
    "exp is missing": lambda: signed(claims(exp=None)),
    "exp in the past": lambda: signed(claims(exp=NOW - 1, iat=NOW - 200)),
    "exp far ahead": lambda: signed(claims(exp=NOW + 3_600)),
    "exp without end": lambda: raw(json.dumps(HEADER).encode(), json.dumps(claims(exp=2**62)).encode()),
    "exp is true": lambda: raw(json.dumps(HEADER).encode(), json.dumps(claims(exp=True)).encode()),
    "exp is a text": lambda: raw(json.dumps(HEADER).encode(), json.dumps(claims(exp=str(NOW + 60))).encode()),
    "iat in the future": lambda: signed(claims(iat=NOW + 120, exp=NOW + 300)),
    "nbf in the future": lambda: signed(claims(nbf=NOW + 120)),
    "no jti": lambda: signed(claims(jti=None)),
    "jti is empty": lambda: signed(claims(jti="")),
    "jti is a number": lambda: raw(json.dumps(HEADER).encode(), json.dumps(claims(jti=7)).encode()),
    "jti of 129 characters": lambda: signed(claims(jti="j" * 129)),
    "jti with NUL": lambda: signed(claims(jti="j\0")),
    "signature of another key": lambda: signed(claims(), "RS384 b", kid="RS384 a"),
    "signature is missing": lambda: cut(signed(claims()), 2),
    "signature is empty": lambda: with_signature(signed(claims()), ""),
    "signature of ES384 is all zeros (CVE-2022-21449)": lambda: with_signature(
        signed(claims(), "ES384 a"), part(b"\0" * 96).decode()
    ),
    "signature of another assertion": lambda: with_signature(signed(claims()), signed(claims()).rpartition(".")[2]),
    "four parts": lambda: signed(claims()) + ".x",
    "five parts, as an encrypted JWT": lambda: signed(claims()) + ".x.y",
    "white space in it": lambda: signed(claims()).replace(".", " .", 1),
    "padding of base64": lambda: signed(claims()).replace(".", "=.", 1),
    "not base64": lambda: "!!.!!.!!",
    "JSON form in place of the compact one": lambda: json.dumps({"payload": "x", "signatures": []}),
    "a text of 12,000 characters": lambda: "a" * 12_000,
}
FIELDS = {
    "no grant_type": ({"grant_type": None}, "invalid_request"),
    "grant_type password": ({"grant_type": "password"}, "unsupported_grant_type"),
    "grant_type authorization_code": ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
    "no assertion": ({"client_assertion": None}, "invalid_client"),
    "no assertion type": ({"client_assertion_type": None}, "invalid_client"),
    "assertion type SAML": (
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        "invalid_client",
    ),
    "client_secret in place of an assertion": ({"client_assertion": None, "client_secret": "x"}, "invalid_client"),
    "client_secret beside an assertion": ({"client_secret": "x"}, "invalid_client"),
    "another client_id": ({"client_id": "client-2"}, "invalid_client"),
    "no scope": ({"scope": None}, "invalid_scope"),
    "scope of a user": ({"scope": "user/*.rs"}, "invalid_scope"),
    "scope of a patient": ({"scope": "patient/*.rs openid"}, "invalid_scope"),
    "scope for more than is allowed": ({"scope": "system/Observation.rs"}, "invalid_scope"),
    "scope to write": ({"scope": "system/*.cud system/DiagnosticReport.$addendum"}, "invalid_scope"),
    "scope with NUL": ({"scope": "system/*.rs\0"}, "invalid_scope"),
    "100 scopes": ({"scope": " ".join(f"system/Patient.r?_id={number}" for number in range(100))}, "invalid_scope"),
}
GOOD = urlencode({"grant_type": "client_credentials"})
BODIES = {
    "no body": (b"", FORM),
    "a JSON body": (json.dumps({"grant_type": "client_credentials"}).encode(), "application/json"),
    "no type": (GOOD.encode(), ""),
    "multipart": (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
    "no form": (b"grant_type", FORM),
    "a parameter twice": (f"{GOOD}&{GOOD}".encode(), FORM),
    "no ASCII": ("grant_type=é".encode(), FORM),
    "no UTF-8 behind percent signs": (b"grant_type=%ff", FORM),
    "33 parameters": ("&".join(f"a{number}=b" for number in range(33)).encode(), FORM),
    "1 MB of assertion": (f"{GOOD}&client_assertion={'a' * 2**20}".encode(), FORM),
}


@pytest.fixture
async def site(sqlite_engine):
    made = await token_site(sqlite_engine)
    async with made.client:
        yield made


def is_refused(answer, error):
    is_safe = answer.headers["cache-control"] == "no-store" and "access_token" not in answer.text
    return is_safe and (answer.status_code, answer.json().get("error")) == (400, error)


async def test_the_unchanged_request_is_good(site):
    assert (await site.post()).status_code == 200


async def test_an_attack_by_assertion_is_an_invalid_client(site):
    answers = {name: await site.post(fields=form(made())) for name, made in ASSERTIONS.items()}
    assert {name: one.text for name, one in answers.items() if not is_refused(one, "invalid_client")} == {}


async def test_an_attack_by_parameter_has_its_error(site):
    answers = {name: await site.post(fields=form(**changes)) for name, (changes, _) in FIELDS.items()}
    assert {name: one.text for name, one in answers.items() if not is_refused(one, FIELDS[name][1])} == {}


async def test_an_attack_by_body_is_an_invalid_request_and_reads_16_kb(site):
    for name, (body, media_type) in BODIES.items():
        read = []

        async def chunks(body=body, read=read):
            for at in range(0, len(body), 1_024):
                read.append(body[at : at + 1_024])
                yield read[-1]

        answer = await site.post(content=chunks(), headers={"Content-Type": media_type} if media_type else {})
        assert is_refused(answer, "invalid_request"), name
        assert sum(map(len, read)) <= MOST_BYTES + 1_024, name


@pytest.mark.parametrize(
    ("header", "challenge"), [("Basic Y2xpZW50OnNlY3JldA==", "Basic"), ("Bearer x", "Bearer"), ("\x7f", "Bearer")]
)
async def test_other_credentials_are_refused_by_their_own_scheme(site, header, challenge):
    answer = await site.post(fields=form(client_assertion=None), headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == f'{challenge} realm="autoscribe-gateway"'
    assert is_refused(await site.post(fields=form(), headers={"Authorization": header}), "invalid_request")


async def test_a_replay_in_another_process_on_the_same_database_is_refused(engines):
    async with AsyncExitStack() as stack:
        several = [engines() for _ in range(2)]
        for engine in several:
            await stack.enter_async_context(engine.opened())
        first = await token_site(several[0])
        second = await token_site(several[1], registered=None)
        fields = form()
        assert (await first.post(fields=fields)).status_code == 200
        for site in (second, first):
            assert is_refused(await site.post(fields=fields), "invalid_client")
        assert (await second.post(fields=form())).status_code == 200


async def test_a_disabled_client_and_one_that_is_not_there_get_the_same_answer(site):
    await site.clients.disable(CLIENT, "", NOW * 1_000_000)
    disabled = await site.post()
    unknown = await site.post(fields=form(signed(claims(iss="client-2", sub="client-2"))))
    wrong = await site.post(fields=form(signed(claims(), "RS384 b", kid="RS384 a")))
    assert disabled.content == unknown.content == wrong.content == b'{"error":"invalid_client"}'
    assert disabled.status_code == unknown.status_code == wrong.status_code == 400


async def test_a_fault_costs_at_most_two_milliseconds_of_a_processor(site, say):
    """Thread time of the whole request, without the client; the least of several runs."""
    app = site.client._transport.app
    costs = {}
    for name, made in ASSERTIONS.items():
        body = urlencode(form(made())).encode()
        costs[name] = min([await cost(app, body) for _ in range(5)])
    costs["1 MB of assertion"] = min([await cost(app, BODIES["1 MB of assertion"][0]) for _ in range(5)])
    worst = max(costs, key=costs.__getitem__)
    say(f"dearest token fault: {worst}, {costs[worst] * 1_000:.2f} ms CPU")
    assert costs[worst] <= 0.002, costs


async def cost(app, body):
    chunks = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    messages = iter([{"type": "http.request", "body": one, "more_body": True} for one in chunks])
    statuses = []

    async def receive():
        return next(messages, {"type": "http.request", "body": b"", "more_body": False})

    async def send(message):
        statuses.append(message.get("status"))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/auth/token",
        "raw_path": b"/auth/token",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", FORM.encode()), (b"host", b"gateway.example")],
    }
    begun = time.thread_time()
    await app(scope, receive, send)
    spent = time.thread_time() - begun
    assert statuses[0] == 400
    return spent


def test_there_are_at_least_forty_faults():
    assert len(ASSERTIONS) + len(FIELDS) + len(BODIES) >= 40
    assert REGISTERED.client_id == CLIENT
