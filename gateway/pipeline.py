"""One study in, all its FHIR resources out: decoded, mapped and judged, in a worker thread.

AutoScribe REST API: `GET /v1/autoScribe/studies/{studyId}`, `/reports`, `/users/{userId}`; decisions D2, D25. A store
will make one transaction of what is here returned; until then it is kept in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mappings import decode, to_fhir
from mappings.fhir.document_reference import document_reference_id
from mappings.fhir.judge import judge_all
from mappings.identifiers import fhir_id
from mappings.issues import MappingIssue
from mappings.model import Facts, Report, Study
from mappings.profile import Site
from mappings.text import utf8

Json = Mapping[str, Any]
Key = tuple[str, str]
NOTHING_KNOWN: Final = Facts()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A study with its FHIR resources by (type, id); `suppressed` are those their judge rejects, with the faults (D2).

    `issues` are all that decoding and mapping had to say. A suppressed resource is never served.
    """

    study: Study
    resources: Mapping[Key, Json]
    suppressed: Mapping[Key, tuple[MappingIssue, ...]]
    issues: tuple[MappingIssue, ...]

    @property
    def is_external(self) -> bool:
        """True for an archived study that AutoScribe did not report: never served (D25)."""
        return self.study.study_type == "external"

    def report(self, resource_id: str) -> Report | None:
        """The report with that resource id (`rep-…`)."""
        return next((one for one in self.study.reports if fhir_id(one.report_id) == resource_id), None)

    def text(self, resource_id: str) -> bytes | None:
        """The original bytes of a report's text; None while it has none that is given out (D16)."""
        report = self.report(resource_id)
        if report is None or not report.text:
            return None
        is_said = report.is_completed or ("DocumentReference", document_reference_id(resource_id)) in self.resources
        return utf8(report.text)[0] if is_said else None


async def render(
    study: Json, reports: Json | Sequence[Json], users: Sequence[Json], site: Site, facts: Facts = NOTHING_KNOWN
) -> Rendered:
    """Decode, map and judge one study.

    Raises:
        WireError: AutoScribe's JSON is not what its contract says, or its parts are of different studies.
    """
    return await asyncio.to_thread(_render, study, reports, users, site, facts)


async def render_user(user: Json, site: Site) -> Rendered:
    """A user alone, as the Practitioner that a report signed by that user refers to.

    Raises:
        WireError: the User is not what its contract says.
    """
    whole = await render({**_BARE_STUDY}, [{**_BARE_REPORT, "userId": user["userId"]}], [user], site)
    key = ("Practitioner", fhir_id(user["userId"]))
    resources = {key: whole.resources[key]} if key in whole.resources else {}
    suppressed = {key: whole.suppressed[key]} if key in whole.suppressed else {}
    return Rendered(whole.study, resources, suppressed, ())


def _render(study: Json, reports: Json | Sequence[Json], users: Sequence[Json], site: Site, facts: Facts) -> Rendered:
    decoded = decode(study, reports, users)
    mapped = to_fhir(decoded, site, facts)
    good: dict[Key, Json] = {}
    suppressed: dict[Key, tuple[MappingIssue, ...]] = {}
    for resource, faults in zip(mapped.output, judge_all(mapped.output), strict=True):
        key = (resource["resourceType"], resource["id"])
        if faults:
            suppressed[key] = faults
        else:
            good[key] = resource
    return Rendered(decoded, good, suppressed, decoded.issues + mapped.issues)


# A study with nothing in it but a report that names a user
_NOBODY: Final = "0" * 32
_BARE_STUDY: Final[Json] = {
    "studyId": f"stu_{_NOBODY}",
    "studyInstanceUid": "none",
    "studyDescription": "",
    "severity": "normal",
    "studyReportStatus": "in_progress",
    "reportMetadata": {},
    "isCancelled": False,
    "createdAt": None,
    "updatedAt": None,
    "cancelledAt": None,
}
_BARE_REPORT: Final[Json] = {
    "reportId": f"rep_{_NOBODY}",
    "studyId": f"stu_{_NOBODY}",
    "status": "in_progress",
    "isAddendum": False,
    "isCritical": None,
    "createdAt": None,
    "signedAt": None,
    "updatedAt": None,
    "snapshotMetadata": {},
}
