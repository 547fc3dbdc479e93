"""Audit of a whole store against the history of an account: nothing lost, doubled, or out of order."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fakes.busy_account import BusyAccount, marks
from fakes.store import resource_of

from gateway.store.database.kept import unpacked
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from mappings.patient.identifiers import fhir_id

Json = dict[str, Any]
SIGNED = frozenset({"final", "amended", "corrected", "appended"})
_VERSIONS = (
    "SELECT r.address, r.owner, v.version, v.updated, v.body, r.version FROM resource r"
    " JOIN version v ON v.resource = r.number ORDER BY r.address, v.version"
)
_CAUSES = "SELECT report_id, kind, content_version FROM outbox ORDER BY number"


@dataclass(frozen=True)
class Version:
    number: int
    updated: int
    resource: Json

    @property
    def content(self) -> Json:
        """Content without the parts of `meta` that the store adds."""
        meta = {key: one for key, one in self.resource["meta"].items() if key not in {"versionId", "lastUpdated"}}
        return {**self.resource, "meta": meta}


@dataclass(frozen=True)
class Audit:
    """Content of a store: versions by address, the owner of each address, causes, and studies as received."""

    versions: dict[str, list[Version]]
    owners: dict[str, str]
    causes: list[tuple[str, str, str]]
    received: dict[str, Json]

    @property
    def counts(self) -> dict[str, int]:
        """Figures: resources, versions, and causes by kind."""
        kinds = Counter(kind for _, kind, _ in self.causes)
        total = sum(map(len, self.versions.values()))
        return {"studies": len(self.received), "resources": len(self.versions), "versions": total, **sorted_dict(kinds)}

    def texts_seen(self, report_id: str) -> list[int]:
        """Changes of a report's text seen in its signed versions, without consecutive repeats."""
        found: list[int] = []
        for one in self.versions.get(f"DiagnosticReport/{fhir_id(report_id)}", []):
            if one.resource["status"] in SIGNED:
                number = max(marks(text_of(one.resource), report_id), default=0)
                found += [number] if found[-1:] != [number] else []
        return found


def sorted_dict(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))


def text_of(report: Json) -> str:
    """Join the texts that a DiagnosticReport presents."""
    held = (one.get("data") for one in report.get("presentedForm", ()))
    return "\n".join(base64.b64decode(one).decode() for one in held if one)


def without_pdfs(value: Any) -> Any:
    """Remove PDF attachments from JSON: they are fetched later, by a separate queue."""
    if isinstance(value, dict):
        return {key: without_pdfs(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_pdfs(one) for one in value if not _is_pdf(one)]
    return value


def _is_pdf(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return value.get("attachment", value).get("contentType") == "application/pdf"


def differing(one: Version, other: Version) -> list[str]:
    """Elements in which two versions differ."""
    keys = {**one.content, **other.content}
    return [key for key in keys if one.content.get(key) != other.content.get(key)]


async def audit(engine: Postgres | Sqlite) -> Audit:
    """Read the whole store."""
    versions: dict[str, list[Version]] = defaultdict(list)
    owners: dict[str, str] = {}
    for address, owner, number, updated, body, current in await engine.query(_VERSIONS, []):
        versions[address].append(Version(number, updated, resource_of(body, number, updated)))
        assert number <= current
        owners[address] = owner
    causes = [tuple(row) for row in await engine.query(_CAUSES, [])]
    received = {
        key: unpacked(bytes(body)) for key, body in await engine.query("SELECT study_id, received FROM study", [])
    }
    return Audit(dict(versions), owners, causes, received)


def check_versions(found: Audit) -> None:
    """Assert that versions count from 1, each differs from the one before, and no two in the store share an instant."""
    instants: list[int] = []
    for address, versions in found.versions.items():
        assert [one.number for one in versions] == list(range(1, len(versions) + 1)), address
        assert all(one.content != other.content for one, other in pairwise(versions)), address
        updated = [one.updated for one in versions]
        assert updated == sorted(set(updated)), address
        instants += updated
    assert len(set(instants)) == len(instants)


def check_against(found: Audit, account: BusyAccount) -> None:
    """Assert that the store equals the account, and saw the account's changes in their order."""
    state = account.state
    assert found.received.keys() == state.studies.keys()
    for study_id, study in state.studies.items():
        reports = [] if study.get("studyType") == "external" else list(state.reports[study_id])
        listed = found.received[study_id]["reports"]
        assert found.received[study_id]["study"] == study
        assert (listed["reports"] if listed else []) == reports
        check_study(found, account, study_id, reports)
    for address, versions in found.versions.items():
        owner = found.owners[address]
        is_of_users = address.startswith(("Practitioner/", "PractitionerRole/", "Organization/"))
        if is_of_users or (owner and owner not in account.touched):
            contents = [without_pdfs(one.content) for one in versions]
            assert all(one == contents[0] for one in contents), (address, differing(versions[0], versions[-1]))
            pdfs = len(state.reports.get(owner, ()))  # each makes a version with the result of its fetch (D28)
            assert len(versions) <= 1 + pdfs, address


def check_study(found: Audit, account: BusyAccount, study_id: str, reports: list[Json]) -> None:
    """Assert that the versions of a study never go back, end with the present state, and caused one message each."""
    address = f"ImagingStudy/{fhir_id(study_id)}"
    described = [
        max(marks(one.resource.get("description", ""), study_id), default=0) for one in versions_of(found, address)
    ]
    assert described == sorted(described), (address, described)
    assert described[-1:] in ([], [account.last[study_id]]), address
    told = Counter((kind, report_id) for report_id, kind, _ in found.causes)
    for report in reports:
        report_id = report["reportId"]
        statuses = [one.resource["status"] for one in versions_of(found, f"DiagnosticReport/{fhir_id(report_id)}")]
        was_signed = [status in SIGNED for status in statuses]
        assert was_signed == sorted(was_signed), report_id
        is_signed = report["status"] == "completed"
        assert was_signed[-1] is is_signed
        texts = found.texts_seen(report_id)
        assert texts == sorted(texts), report_id
        assert texts[-1:] == ([account.last[report_id]] if is_signed else [])
        assert told["addendum_signed" if report["isAddendum"] else "signed", report_id] == is_signed, report_id
        assert told["text_changed", report_id] == max(len(texts) - 1, 0), report_id


def versions_of(found: Audit, address: str) -> list[Version]:
    return found.versions.get(address, [])


def check_causes(found: Audit, account: BusyAccount) -> None:
    """Assert that no cause is doubled, each is an act of a person, and flags move on addenda to critical reports."""
    assert len(set(found.causes)) == len(found.causes)
    assert {kind for _, kind, _ in found.causes} <= {"signed", "addendum_signed", "text_changed", "critical_changed"}
    listed = {one["reportId"]: one for reports in account.state.reports.values() for one in reports}
    for flagged in (listed[report_id] for report_id, kind, _ in found.causes if kind == "critical_changed"):
        assert flagged["isAddendum"]
        assert any(one["isCritical"] for one in listed.values() if one["studyId"] == flagged["studyId"])
    signed = [
        one["reportId"]
        for study_id, reports in account.state.reports.items()
        if account.state.studies[study_id].get("studyType") != "external"
        for one in reports
        if one["status"] == "completed"
    ]
    first = [report_id for report_id, kind, _ in found.causes if kind in {"signed", "addendum_signed"}]
    assert sorted(first) == sorted(signed)
