"""Decision D9 over 500 and more planted values: every output of a gateway with authentication, on both databases.

What a resource or a message says is the only place for them. An AuditEvent is a resource of its own kind: once there
are any, they are outputs like `$trace`, which names no value (`without_values`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
import time
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
import structlog
from fakes.assertions import CLIENT, claims, jwks, signed
from fakes.facade import BASE, resource_id, sandboxed
from fakes.planted import WORD, Planted, found_in
from fakes.scale import EITHER_STORE

from gateway.auth.token_service import ASSERTION_TYPE
from gateway.ingest import pipeline
from gateway.runtime import log
from gateway.settings import Audit, Server
from gateway.settings.auth import Auth
from gateway.store.clients import ClientKeySet, RegisteredClient, StoredClients
from gateway.store.database.sqlite import Sqlite

pytestmark = pytest.mark.timeout(240)
ROOT = "http://127.0.0.1:8800"
MOST_STUDIES, MOST_TRACED = 30, 5
LEAST_PLANTED = 500
SCOPES = "system/*.rs system/DiagnosticReport.$addendum"
GROUPS = {"auth": Auth(mode="builtin"), "server": Server(public_url="https://gateway.example/fhir")}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# Outputs that name elements of a resource, and never their values
WITHOUT_VALUES = ("$trace", "$validate", "/docs", "/openapi.json", "/auth/", "metadata", ".well-known")


@pytest.fixture
def usual_log():
    """Put the logging of the tests back in the end."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


@asynccontextmanager
async def planted_site(engine, roles=("api",)):
    """Yield a gateway with one client over an account full of planted values, and the number of these values."""
    url = f"sqlite:///{engine.path}" if isinstance(engine, Sqlite) else engine._url
    keys = (ClientKeySet(jwks("RS384 a").decode()),)
    await StoredClients(engine).add(RegisteredClient(CLIENT, "Test client", SCOPES, None, 0, key_sets=keys), "")
    async with sandboxed() as sandbox:
        account = sandbox.account
        for study_id in list(account.studies)[MOST_STUDIES:]:
            del account.studies[study_id], account.reports[study_id]
        planted = Planted()
        planted.plant(account)
        with TemporaryDirectory() as folder:
            audit = Audit(dir=Path(folder) / "audit", seal_key=Path(folder) / "seal.pem")
            async with sandbox.gateway(url, roles, {**GROUPS, "audit": audit}) as stage:
                yield stage, planted.number
            noted = b"".join(one.read_bytes() for one in audit.dir.iterdir())
            assert b'"entry"' in noted and not re.search(rb"%s\d{5}" % WORD.encode(), noted)


def form(**changes):
    """Return the fields of a token request."""
    usual = {"grant_type": "client_credentials", "scope": SCOPES, "client_assertion_type": ASSERTION_TYPE}
    return {**usual, "client_assertion": signed(claims(time.time())), **changes}


async def logged_in(stage):
    """Let the client send a token with each request; return the token."""
    answer = await stage.client.post(f"{ROOT}/auth/token", data=form())
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    stage.client.headers["Authorization"] = f"Bearer {token}"
    return token


async def asked_for_tokens(stage):
    """Send token requests, introspections and revocations with planted values in every part."""
    claim = {name: f"{WORD}{name}" for name in ("iss", "sub", "aud", "jti", "patient")}
    fields = [{name: f"{WORD} {name}"} for name in form()]
    fields += [{"client_assertion": signed({**claims(time.time()), **{name: value}})} for name, value in claim.items()]
    fields += [{"client_assertion": signed(claims(time.time()), **{name: f"{WORD}{name}"})} for name in ("jku", "typ")]
    fields += [{WORD: WORD}, {"scope": f"system/Patient.rs?name={WORD}"}]
    answers = [await stage.client.post(f"{ROOT}/auth/token", data=form(**one)) for one in fields]
    for path in ("introspect", "revoke"):
        for one in ({"token": f"{WORD}token"}, {"token": WORD, "token_type_hint": WORD}, {WORD: WORD}):
            answers += [await stage.client.post(f"{ROOT}/auth/{path}", data=form(**one))]
    for header in (f"Bearer {WORD}", f"Basic {WORD}", f"Bearer {WORD} {WORD}"):
        answers += [await stage.client.get(f"{BASE}/Patient/{WORD}", headers={"Authorization": header})]
    answers.append(await stage.client.get(f"{BASE}/Patient/{WORD}?access_token={WORD}"))
    return answers


def paths_of(account):
    """Yield the paths of every kind of request, for each report of the account."""
    yield from ("metadata", ".well-known/smart-configuration")
    for kind in ("Patient", "Practitioner", "Organization", "DiagnosticReport", "Observation", "ImagingStudy"):
        yield f"{kind}?_lastUpdated=ge2020&_count=5&_total=accurate&_explain=true"
        yield f"{kind}?identifier={WORD}00001&_sort={WORD}"
        yield f"{kind}/{WORD}"
    for place, (study_id, reports) in enumerate(account.reports.items()):
        yield f"ImagingStudy?identifier={study_id}"
        for report in reports:
            path = f"DiagnosticReport/{resource_id(report)}"
            yield from (path, f"{path}/_history", f"{path}/_history/1", f"{path}/_history/{WORD}")
            yield from ([f"{path}/$trace"] if place < MOST_TRACED else [])
            yield from (f"{path}/$hl7v2?receiver=generic", f"{path}/$hl7v2?receiver={WORD}")
            yield from (f"Binary/{resource_id(report)}-text", f"Binary/{resource_id(report)}-pdf")


async def asked(stage):
    """Send every kind of request, first by a client whose requests the gateway ingests; return the answers."""
    answers = [await stage.get(path) for path in paths_of(stage.account)]
    patients = {one for answer in answers for one in re.findall(r"Patient/pat-[0-9a-f]{32}", answer.text)}
    assert len(patients) > 5
    for patient in sorted(patients)[:10]:
        answers.append(await stage.get(f"{patient}/$everything?_count=20"))
        answers.append(await stage.get(f"DocumentReference/$docref?patient={patient.partition('/')[2]}"))
        answers.append(await stage.client.post(f"{BASE}/{patient}/$validate"))
        entries = [{"request": {"method": "GET", "url": one}} for one in (patient, f"Patient/{WORD}", WORD)]
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        answers.append(await stage.client.post(BASE, json=bundle, headers={"Content-Type": "application/fhir+json"}))
    for body in (f"name={WORD}00001&_count=1", f"identifier={WORD}&colour={WORD}", f"name=%ff{WORD}"):
        answers += [await stage.client.post(f"{BASE}/Patient/_search", content=body, headers=FORM)]
    outside = ("/docs", "/openapi.json", "/livez", "/readyz", "/metrics", f"/{WORD}")
    return answers + [await stage.client.get(f"{ROOT}{path}") for path in outside]


def told(answer):
    """Return the parts of an answer that may not hold a planted value."""
    parts = [str(dict(answer.headers))]
    path = answer.request.url.path
    if answer.status_code >= 400 or not path.startswith("/fhir") or any(one in path for one in WITHOUT_VALUES):
        return [*parts, answer.text]
    if not answer.headers.get("content-type", "").startswith("application/fhir+json"):
        return parts
    bundle = answer.json()
    parts += [one["url"] for one in bundle.get("link", ()) if WORD not in str(answer.request.url)]
    for entry in bundle.get("entry", ()):
        parts += [entry.get("fullUrl", ""), json.dumps(entry.get("response", {}))]
        if entry.get("resource", {}).get("resourceType") == "OperationOutcome":
            parts.append(json.dumps(entry["resource"]))
    return parts


def check(answers, everything):
    assert found_in([part for answer in answers for part in told(answer)]) == []
    assert found_in([everything()]) == []


async def test_no_planted_value_is_in_any_output_that_is_no_resource(engine, everything):
    async with planted_site(engine) as (stage, number):
        assert number >= LEAST_PLANTED
        token = await logged_in(stage)
        answers = await asked(stage)
        known = {one for answer in answers for one in re.findall(rf"{WORD}\d{{5}}", answer.text)}
        assert len(known) >= LEAST_PLANTED, "they were not planted where they are served"
        check(answers, everything)
        check(await asked_for_tokens(stage), everything)
        assert token not in everything()
        assert "study-ingested" in everything()  # what debug says is among it


@pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)
async def test_no_planted_value_is_told_by_a_crawl(engine, everything):
    async with planted_site(engine, ("api", "sync")) as (stage, _):
        await logged_in(stage)
        async with asyncio.timeout(60):
            while not (await stage.client.get(f"{ROOT}/readyz")).json()["index"]["complete"]:
                await asyncio.sleep(0.1)
        check(await asked(stage), everything)


@pytest.mark.parametrize("fault", ["refused", "dropped"])
async def test_no_error_of_the_database_holds_a_planted_value(fault, engine, everything):
    """Rows are refused while they are written, and then tables are missing: each statement has planted values."""
    async with planted_site(engine) as (stage, _):
        await logged_in(stage)
        if fault == "dropped":
            assert (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).is_success
        await broken(engine, fault)
        answers = [await stage.get(path) for path in list(paths_of(stage.account))[:60]]
        answers.append(await stage.client.post(f"{BASE}/Patient/_search", content=f"name={WORD}00001", headers=FORM))
        assert {503} <= {one.status_code for one in answers}
        check(answers, everything)
        refusals = [one.text for one in answers if one.status_code >= 400]
        assert [one for one in refusals if "SELECT" in one or "INSERT" in one] == []
        await asked_for_tokens(stage)
        assert found_in([everything()]) == []


async def broken(engine, fault):
    """Let the database refuse rows with patient data, or take their tables away."""
    tables = ("term", "moment", "version", "claim", "person")
    if fault == "dropped":
        statements = [f"DROP TABLE {table}" for table in tables]
    elif isinstance(engine, Sqlite):
        refusal = "SELECT RAISE(ABORT, 'refused') WHERE NEW.value LIKE '%canary%'"
        statements = [f"CREATE TRIGGER refuses BEFORE INSERT ON term BEGIN {refusal}; END"]
    else:
        statements = ["ALTER TABLE term ADD CONSTRAINT refuses CHECK (value NOT ILIKE '%canary%')"]
    if isinstance(engine, Sqlite):
        with sqlite3.connect(engine.path) as database:
            for one in statements:
                database.execute(one)
        database.close()
        return
    connection = await asyncpg.connect(engine._url)
    for one in statements:
        await connection.execute(one)
    await connection.close()


def stumbled(*_):
    raise ValueError(f"{WORD} Jane Doe")


async def test_no_crash_of_the_mapping_shows_what_it_stumbled_over(sqlite_engine, monkeypatch, capfd, usual_log):
    """Read what is written: the trace of an exception loses its text only then."""
    monkeypatch.setattr(pipeline, "plan_ingest", stumbled)
    log.configure("debug", "json")
    async with planted_site(sqlite_engine) as (stage, _):
        await logged_in(stage)
        answers = [await stage.get(path) for path in list(paths_of(stage.account))[:60]]
        assert 500 in {one.status_code for one in answers}
    out, err = capfd.readouterr()
    assert "test_planted_values" in err  # the trace is there, without the text
    check(answers, lambda: out + err)
