"""docs/facade.md, Authentication: a client that does what it shows is registered and gets a token."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.assertions import CLIENT, TOKEN_URL
from fakes.token_site import REGISTERED, token_site

from gateway.auth import (
    client_assertion,
    client_keys,
    external,
    external_token,
    issuer,
    key_set,
    key_set_fetch,
    scopes,
    token_cache,
    token_endpoint,
    token_service,
)
from gateway.auth.bearer import OPEN
from gateway.auth.external import token_rules
from gateway.runtime import clock
from gateway.settings import load
from gateway.store.clients import ClientKeySet

TEXT = (Path(__file__).parents[2] / "docs" / "facade.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SOURCES = [Path(one.__file__).read_text() for one in (client_assertion, token_service, token_endpoint)]
EXTERNAL_SOURCES = [Path(one.__file__).read_text() for one in (external_token, external)]


async def test_the_client_of_the_document_makes_keys_that_are_taken_and_gets_a_token(
    sqlite_engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in PYTHON:
        exec(block, names)
    keys = (ClientKeySet((tmp_path / "city-ehr.json").read_text()),)
    site = await token_site(sqlite_engine, registered=replace(REGISTERED, key_sets=keys))
    site.at = clock.now().timestamp()
    answer = await site.post(fields=names["token_request"](CLIENT, TOKEN_URL, "system/Patient.r"))  # type: ignore[operator]
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
    assert (await site.get(token=answer.json()["access_token"])).status_code == 200


def test_the_settings_of_the_document_are_good(tmp_path: Path) -> None:
    first, second = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "gateway.toml").write_text(first.replace("# issuer", "issuer"))
    auth = load(tmp_path / "gateway.toml").settings.auth
    assert (auth.mode, auth.issuer) == ("builtin", "https://gateway.example")
    (tmp_path / "gateway.toml").write_text(second.replace("\n# ", "\n"))
    rules = token_rules(load(tmp_path / "gateway.toml").settings)
    assert rules.audience == "https://gateway.example/fhir"
    assert (rules.scope_claim, rules.patient_claim) == ("scope", "patient"), "what holds without a setting"


def test_the_numbers_of_the_document_are_those_of_the_code() -> None:
    for number, said in (
        (client_assertion.MOST_SECONDS, "At most 5 minutes ahead"),
        (client_assertion.SKEW, "may differ by 60 seconds"),
        (token_endpoint.MOST_BYTES, "at most 16 kB"),
        (token_service.LIFETIME, "lives 15 minutes"),
        (key_set.MOST_BYTES, "up to 64 kB"),
        (key_set_fetch.PATIENCE, "within 5 seconds"),
        (client_keys.FRESH, "kept for 5 minutes"),
        (client_keys.BETWEEN, "at most once in 30 seconds"),
        (client_keys.BELIEVED, "valid for a day"),
        (external_token.MOST_CHARACTERS, "JWT of at most 16 kB"),
        (external_token.LEEWAY, "ahead of the gateway's clock by 30 seconds"),
        (issuer.EVERY, "fetched each 5 minutes"),
        (issuer.BETWEEN, "no sooner than 10 seconds"),
        (issuer.BELIEVED, "stay valid for 24 hours"),
        (token_cache.TRUSTED, "trusts a token for 3 seconds"),
        (token_cache.TRUSTED + token_cache.PATIENCE, "silent for 5 seconds"),
    ):
        assert said in TEXT
        count = {"a day": 86_400, "kB": 1_024, "minutes": 60, "hours": 3_600}
        unit = next((factor for word, factor in count.items() if word in said), 1)
        digits = re.findall(r"\d+", said)
        assert number == int(digits[0] if digits else 1) * unit, said


def test_every_reason_of_the_table_is_one_of_the_code() -> None:
    tables = [one.partition("\n##")[0] for one in TEXT.split("| code | means |")[1:]]
    for table, sources in zip(tables, (SOURCES, EXTERNAL_SOURCES), strict=True):
        for reason in re.findall(r"`([a-z-]+)`", re.sub(r"\|[^|]*\|\n", "|\n", table)):
            stored = {"replayed", "not-active"}
            assert reason in stored or any(f'"{reason}"' in source for source in sources), reason


def test_every_reason_to_refuse_an_external_token_stands_in_the_table() -> None:
    table = TEXT.split("| code | means |")[2].partition("\n##")[0]
    for source in EXTERNAL_SOURCES:
        for reason in re.findall(r'(?:_refused\(|"invalid_token", )"([a-z-]+)"', source):
            assert f"`{reason}`" in table, reason


def test_every_open_address_stands_in_the_document() -> None:
    for path in OPEN:
        assert f"`{path}`" in TEXT or path.startswith("/auth/"), path
    assert f"`system/DiagnosticReport.{scopes.ADDENDUM}`" in TEXT
