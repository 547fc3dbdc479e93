"""Every patient of an account of up to 400 studies, through third-party FHIR clients: they get what they asked for.

https://hl7.org/fhir/R4/search.html#include, https://hl7.org/fhir/R4/references.html, decision D43. Most clients hand
on the resources of all entries of a searchset: one that was not asked for is one that a program stumbles over.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from clients.client import FhirClient, Json, matches, of_mode
from clients.conftest import CLIENTS, quiet
from clients.processes import Running, running
from fakes.scale import examples

pytestmark = pytest.mark.timeout(400)
STUDIES = examples(400)
RADIOLOGY = "http://loinc.org|LP29684-5"
INCLUDED = {"subject": "Patient", "performer": "", "results-interpreter": "Practitioner", "result": "Observation"}
REFERRING = ("basedOn", "performer", "resultsInterpreter", "imagingStudy", "result")
WITH_REPORTS = {"DiagnosticReport", "Patient", "Organization", "Practitioner", "Observation"}
# What changes how an answer is read, and may stand in it of its own accord
WARNED_OF = {"identity-conflict"}


@dataclass(frozen=True, slots=True)
class Account:
    """Patients in the gateway: report ids of each, and the patients with a search warning."""

    reports: dict[str, set[str]]
    warned_of: frozenset[str]


def asked(patient: str) -> list[tuple[str, str]]:
    return [("patient", f"Patient/{patient}"), ("category", RADIOLOGY), ("_count", "2")]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("many")
    with quiet(running(folder, f"sqlite:///{folder / 'gateway.db'}", STUDIES)) as found:
        yield found


@pytest.fixture(scope="module")
def account(gateway: Running) -> Account:
    """Read without any client."""
    reports: dict[str, set[str]] = {}
    for patient in every(gateway, "Patient"):
        reports[patient["id"]] = set()
    for report in every(gateway, "DiagnosticReport"):
        reports[report["subject"]["reference"].removeprefix("Patient/")].add(report["id"])
    outcomes = {one: of_mode(first_page(gateway, "DiagnosticReport", asked(one)), "outcome") for one in reports}
    codes = {coding["code"] for said in outcomes.values() for one in said for coding in codings(one)}
    assert codes <= WARNED_OF
    return Account(reports, frozenset(one for one, said in outcomes.items() if said))


def codings(outcome: Json) -> list[Json]:
    assert {issue["severity"] for issue in outcome["issue"]} == {"warning"}
    return [coding for issue in outcome["issue"] for coding in issue["details"]["coding"]]


def first_page(gateway: Running, kind: str, params: list[tuple[str, str]]) -> Json:
    return httpx.get(f"{gateway.fhir_base}/{kind}", params=params).json()


def every(gateway: Running, kind: str) -> Iterator[Json]:
    bundle = first_page(gateway, kind, [("_lastUpdated", "ge2000"), ("_count", "500")])
    while bundle:
        yield from matches(bundle)
        following = [one["url"] for one in bundle["link"] if one["relation"] == "next"]
        bundle = httpx.get(following[0]).json() if following else {}


@pytest.fixture(params=[name for name in CLIENTS if name != "fhirpy-async"])
def client(request: pytest.FixtureRequest, gateway: Running) -> Iterator[FhirClient]:
    with CLIENTS[request.param](gateway.fhir_base) as found:
        yield found


def test_hardly_a_search_for_a_patients_reports_says_more_than_was_asked_for(account: Account) -> None:
    """The only remaining warnings are identity conflicts."""
    assert len(account.reports) > STUDIES // 2
    assert len(account.warned_of) < len(account.reports) / 20


def test_of_every_patient_a_client_gets_the_reports_and_no_more(client: FhirClient, account: Account) -> None:
    stumbled = []
    for patient, ids in account.reports.items():
        found = client.find("DiagnosticReport", asked(patient))
        if patient in account.warned_of:
            found = [one for one in found if one["resourceType"] != "OperationOutcome"]
        addresses = [f"{one['resourceType']}/{one.get('id')}" for one in found]
        if sorted(addresses) != sorted(f"DiagnosticReport/{one}" for one in ids):
            stumbled.append(patient)
    assert stumbled == []


def test_of_every_patient_a_client_gets_with_the_reports_what_they_refer_to(
    client: FhirClient, account: Account
) -> None:
    includes = [("_include", f"DiagnosticReport:{name}{f':{to}' if to else ''}") for name, to in INCLUDED.items()]
    for patient, ids in account.reports.items():
        page = client.page("DiagnosticReport", [*asked(patient)[:2], *includes])
        kinds = {one["resource"]["resourceType"] for one in page.get("entry", ())}
        assert kinds <= WITH_REPORTS | ({"OperationOutcome"} if patient in account.warned_of else set())
        assert {one["id"] for one in matches(page)} == ids
        beside = {f"{one['resourceType']}/{one['id']}" for one in of_mode(page, "include")}
        elements = ("performer", "resultsInterpreter", "result")
        wanted = {to for one in matches(page) for to in references(one, elements)} | (
            {f"Patient/{patient}"} if ids else set()
        )
        assert beside == wanted


def references(report: Json, elements: tuple[str, ...]) -> set[str]:
    parts = [part for name in elements for part in report.get(name, ())]
    return {part["reference"] for part in parts if "reference" in part}


def test_whatever_a_report_of_any_patient_refers_to_is_there_for_a_client(client: FhirClient, account: Account) -> None:
    seen: set[str] = set()
    for patient in account.reports:
        for report in matches(client.page("DiagnosticReport", asked(patient)[:2])):
            addresses = {*references(report, REFERRING), f"Patient/{patient}"} - seen
            assert {f"{one['resourceType']}/{one['id']}" for one in map(client.read, addresses)} == addresses
            seen |= addresses
            for form in report.get("presentedForm", ()):
                binary = client.read(form["url"])
                data = base64.b64decode(binary["data"])
                assert binary["contentType"] == form["contentType"]
                assert form["hash"] == base64.b64encode(hashlib.sha1(data).digest()).decode()
