"""Map one AutoScribe user, given as JSON, to a FHIR Practitioner; read_through.py and users.py treat users not found.

AutoScribe REST API: `GET /v1/autoScribe/users/{userId}`; https://hl7.org/fhir/R4/practitioner.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Final

from gateway.store.studies.versions import RenderedVersion
from gateway.store.study_write import rendered
from mappings import decode, to_fhir
from mappings.patient.identifiers import fhir_id
from mappings.profile import Site

Json = Mapping[str, Any]

# Study with nothing in it but a report that names a user
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


def practitioner_versions(user: Json, site: Site, zone: tzinfo, asked: int) -> list[RenderedVersion]:
    """Return the Practitioner of a user as a version to be stored; none if none can be made.

    `asked` is the instant before the user was requested, in microseconds.

    Raises:
        WireError: the User does not follow its contract.
    """
    made = practitioner(user, site)
    return rendered([made] if made else [], zone, owner="", as_of={}, asked=asked, signed={})


def practitioner(user: Json, site: Site) -> dict[str, Any] | None:
    """Return the Practitioner of a user; None if none can be made.

    Raises:
        WireError: the User does not follow its contract.
    """
    study = decode(_BARE_STUDY, [{**_BARE_REPORT, "userId": user["userId"]}], [user])
    key = ("Practitioner", fhir_id(user["userId"]))
    return next((one for one in to_fhir(study, site).output if (one["resourceType"], one["id"]) == key), None)
