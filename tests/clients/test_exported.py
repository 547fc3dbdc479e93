"""A hospital's analyst copies everything with smart-fetch, which logs in by itself, and asks the files in SQL.

https://docs.smarthealthit.org/cumulus/fetch/, https://duckdb.org/docs/stable/data/json/loading_json. Command and query
are those of docs/facade.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import jwt
import pytest
from clients.account import REPORTS
from clients.client import matches
from clients.conftest import quiet_login
from clients.logins import KEY, Login, builtin_login
from fakes.assertions import key_pair

pytestmark = pytest.mark.timeout(400)
DOCUMENT = Path(__file__).parents[2] / "docs" / "facade.md"
TYPES = ("Patient", "DiagnosticReport", "Observation", "DocumentReference")


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    folder = tmp_path_factory.mktemp("exported")
    with quiet_login(builtin_login(folder, f"sqlite:///{folder / 'gateway.db'}")) as found:
        found.await_pdfs()
        yield found


@pytest.fixture(scope="module")
def served(login: Login) -> dict[str, list[dict[str, object]]]:
    """Everything that the gateway has, page by page."""
    with login.client() as client:
        client.log_in()
        return {kind: [one for page in client.pages(kind, 50) for one in matches(page)] for kind in TYPES}


@pytest.fixture(scope="module")
def exported(
    login: Login, served: dict[str, list[dict[str, object]]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder into which smart-fetch copied the patients of a list, and what is about them."""
    folder = tmp_path_factory.mktemp("copy")
    (folder / "patients.csv").write_text("\n".join(["id", *(str(one["id"]) for one in served["Patient"])]))
    key = jwt.get_algorithm_by_name("RS384").to_jwk(key_pair(KEY), as_dict=True)
    (folder / "key.jwks").write_text(json.dumps({"keys": [{**key, "kid": KEY, "alg": "RS384", "key_ops": ["sign"]}]}))
    words = shown("smart-fetch", "sh").replace("\\\n", " ").split()
    named = {
        "smart-fetch": str(Path(sys.executable).with_name("smart-fetch")),
        "https://gateway.example/fhir": login.gateway.fhir_base,
        "client-0123456789abcdef": login.client_id,
    }
    command = [named.get(one, one) for one in words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def shown(word: str, language: str) -> str:
    """The block of the document that begins with a word."""
    [block] = re.findall(rf"```{language}\n({word} .*?)\n```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    return str(block)


@pytest.mark.parametrize("kind", TYPES)
def test_every_resource_is_in_the_copy_once_and_as_it_was_served(
    exported: Path, served: dict[str, list[dict[str, object]]], kind: str
) -> None:
    with duckdb.connect() as database:
        rows = database.execute(
            "SELECT json->>'$.id', json FROM read_ndjson_objects(?)", [str(exported / "copy" / f"{kind}.*.ndjson")]
        ).fetchall()
    assert sorted(one for one, _ in rows) == sorted(str(one["id"]) for one in served[kind])
    assert len(rows) == len({one for one, _ in rows})


def test_the_query_of_the_document_counts_every_report(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)
    with duckdb.connect() as database:
        rows = database.execute(shown("SELECT", "sql")).fetchall()
    assert sum(count for *_, count in rows) == len(REPORTS)
    assert {"CT", "NMS"} <= {kind for kind, *_ in rows}
