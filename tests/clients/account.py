"""Expected data: content of the sandbox's account, which clients of the gateway should find."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import httpx
from fakes.seeded import documents

from gateway.runtime.command_words import SANDBOX_API_KEY
from gateway.sandbox.people import FACILITIES
from gateway.sandbox.seed import generate
from mappings.patient.identifiers import fhir_id, is_placeholder

Json = dict[str, Any]
STUDIES = 60
SYSTEMS = {one.name: one.mrn_system for one in FACILITIES if one.is_known}
REPORTS: dict[str, Json] = {
    fhir_id(report["reportId"]): report
    for study, listed, _ in documents(generate(studies=STUDIES))
    if study.get("studyType") != "external"
    for report in listed["reports"]
}


def signed_alone() -> dict[str, Json]:
    """Signed reports with a text that are the only ones of their study, by their resource's id."""
    studies = [report["studyId"] for report in REPORTS.values()]
    return {
        one: report
        for one, report in REPORTS.items()
        if report["status"] == "completed" and report.get("reportPlainText") and studies.count(report["studyId"]) == 1
    }


def one_person() -> tuple[str, set[str]]:
    """The number of a patient as a search takes it, and the ids of all reports about the patient: more than one.

    Nothing that its reports say of the patient speaks of somebody else, and each report has a study of its own.
    """
    alone, found, about = signed_alone(), defaultdict(set), defaultdict(set)
    for one, report in REPORTS.items():
        said = report["snapshotMetadata"]
        number = f"{SYSTEMS.get(said.get('facilityName', ''))}|{said.get('mrn')}"
        found[number].add(one)
        about[number].add((said.get("dateOfBirth"), said.get("sex")))
    agreed = [
        one for one, people in about.items() if len(people) == 1 and found[one] <= alone.keys() and "None" not in one
    ]
    number = max(agreed, key=lambda one: (len(found[one]), one))
    return number, found[number]


def patients() -> set[str]:
    """The names and numbers of all patients, but those that may stand for something else."""
    said = [one["snapshotMetadata"].get(key) for one in REPORTS.values() for key in ("patientName", "mrn")]
    return {one for one in said if one and len(one) > 4 and not is_placeholder(one)}


def pdf_of(upstream: str, report_id: str) -> bytes:
    """The PDF of a report, fetched from the sandbox as AutoScribe gives it out."""
    query = {"reportId": REPORTS[report_id]["reportId"]}
    headers = {"Authorization": f"Bearer {SANDBOX_API_KEY}"}
    answer = httpx.get(f"{upstream}/v1/autoScribe/reports/pdf", params=query, headers=headers).json()
    return httpx.get(answer["presignedUrl"]).content
