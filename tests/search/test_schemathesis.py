"""Requests that schemathesis generates from our OpenAPI document: the gateway answers or refuses each of them.

https://spec.openapis.org/oas/v3.1.1.html, https://hl7.org/fhir/R4/http.html#Status-Codes. Gateway and sandbox are
processes, with all of the sandbox in the index.
"""

from __future__ import annotations

import subprocess
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from clients.processes import Running, running
from fakes.databases import Server
from fakes.described import Operation, any_of, described
from fakes.scale import OF_OTHER_TYPES, REQUESTS
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, CheckContext, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

STUDIES = 60
KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
HYPOTHESIS = settings(database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def every_error_is_an_operation_outcome(_: CheckContext, response: Response, case: Case) -> None:
    """Check that each error of the facade is an OperationOutcome; other endpoints have errors of their own."""
    if response.status_code >= 400 and case.path.startswith("/fhir"):
        assert b"OperationOutcome" in response.content[:120]
        assert response.headers["content-type"][0].startswith("application/fhir+")


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    every_error_is_an_operation_outcome,
]


@contextmanager
def serving(folder: Path, url: str) -> Iterator[Running]:
    """Run the gateway on a database; at the end, check that it did not fail."""
    audit = {"GATEWAY_AUDIT__DIR": str(folder / "audit")}
    with running(folder, url, STUDIES, AVARA_WEBHOOK_KEY=KEY, **audit) as found:
        yield found
    # the sandbox has signed reports that were cancelled, which is an alert
    assert [one for one in found.events("error") if one.get("code") != "cancelled-after-sign"] == []


@pytest.fixture(scope="module")
def gateway_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("sqlite")
    with serving(folder, f"sqlite:///{folder / 'gateway.db'}") as found:
        yield found


@pytest.fixture(scope="module")
def gateway_on_postgresql(tmp_path_factory: pytest.TempPathFactory, postgres_server: Server) -> Iterator[Running]:
    with postgres_server.database("template0") as url, serving(tmp_path_factory.mktemp("postgresql"), url) as found:
        yield found


def has_an_entry(response: Response) -> bool:
    """True for a Bundle with an entry that is no OperationOutcome."""
    kind = response.headers["content-type"][0]
    if response.status_code != 200 or not kind.startswith("application/fhir+"):
        return False
    if "xml" in kind:
        return response.content.count(b"<entry>") > response.content.count(b'<mode value="outcome"/>')
    modes = [one.get("search", {}).get("mode") for one in response.json().get("entry", ())]
    return any(mode != "outcome" for mode in modes)


def counted(response: Response, case: Case) -> Iterator[str]:
    """Classify an answer for the counts."""
    yield "requests"
    yield f"{response.status_code // 100}xx"
    if case.meta.generation.mode.is_negative:
        yield "that break the document"
    if has_an_entry(response):
        yield "with an entry"


@pytest.mark.parametrize(("size", "database"), REQUESTS.both())
def test_no_request_that_the_document_leads_to_fails(
    size: int, database: str, request: pytest.FixtureRequest, say: Callable[[str], None]
):
    """Test each operation in turn, then random ones, mostly searches."""
    gateway: Running = request.getfixturevalue(f"gateway_on_{database}")
    operations, seen, tally = described(gateway.root).operations, set(), Counter()

    def send(case: Case) -> None:
        response = case.call(gateway.root, session)
        tally.update(counted(response, case))
        seen.add(case.operation.label)
        tally["for visits"] += "/Encounter" in case.operation.label
        case.validate_response(response, CHECKS)

    def ask(most: int, *of: Operation) -> None:
        settings(HYPOTHESIS, max_examples=most, derandomize=(size, database) == REQUESTS.usual)(
            given(any_of(*of))(send)
        )()

    with requests.Session() as session:
        for one in operations:
            ask(size // 500, one)
        ask(size // 10, *[one for one in operations if not one.is_search])
        ask(size - tally["requests"], *[one for one in operations if one.is_search])
    say(f"schemathesis, {database}: {dict(tally)}")
    assert tally["requests"] >= size
    # without the hospital's orders there are no visits to find, and no patient has a telecom
    assert tally["with an entry"] >= 0.35 * (tally["requests"] - tally["for visits"])
    assert seen == {one.label for one in operations}


@pytest.mark.soak
@pytest.mark.parametrize("left_out", OF_OTHER_TYPES.both(), ids=["usual", "all"])
def test_what_schemathesis_tries_at_the_bounds_of_each_parameter_is_answered_as_documented(
    gateway_on_sqlite, tmp_path, left_out
):
    """By its own command; methods that are not offered too."""
    command = Path(sysconfig.get_path("scripts")) / "schemathesis"
    checks = [one.__name__ for one in CHECKS[:-1]] + ["unsupported_method", "missing_required_header"]
    options = ["--phases=examples,coverage", "--generation-deterministic", f"--checks={','.join(checks)}"]
    options += [f"--exclude-path-regex={left_out}"] if left_out else []
    asked = [command, "--no-color", "run", f"{gateway_on_sqlite.root}/openapi.json", *options]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout
    assert "Test cases:" in done.stdout
