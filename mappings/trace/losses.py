"""What of AutoScribe's JSON does not reach FHIR, or HL7 v2, and why: the loss tables of decision D6.

Carries out no clause of a standard. What stands here moves nothing, and what moves nothing stands here: both are
tested. `**` at the end of a pattern is everything below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from mappings.profile import Receiver

Found = TypeVar("Found")

_WORKFLOW: Final = "who works on the study in AutoScribe; the signer is the report's own userId"
_ACCESS: Final = "what a user may do in AutoScribe, and when they last did: no statement about a report"
_INDEX: Final = "AutoScribe's list of the study's reports: held against what came, and said there"
_PRIORS: Final = "other examinations, reported elsewhere: not this report's to restate"
_ARCHIVE: Final = "an archive's document, not a report of AutoScribe"
_METADATA: Final = "free pairs: only the keys that a site names are read, for accession and placer order numbers"
_SAID_BY_REPORTS: Final = "said for the study as a whole; each report has a snapshot of its own, which is read"
_ROW: Final = "when AutoScribe last stored the study; a report has times of its own"

# Pattern -> why it reaches no FHIR element
FHIR_LOSSES: Final[dict[str, str]] = {
    "/createdAt": _ROW,
    "/updatedAt": _ROW,
    "/cancelledAt": "a cancelled study is said by status, without the time",
    "/isCritical": "the primary report's own flag is read; another value here is an issue",
    "/reportMetadata/**": _SAID_BY_REPORTS,
    "/assignedTo/**": _WORKFLOW,
    "/createdByUser/**": _WORKFLOW,
    "/createdByApiKey/**": _WORKFLOW,
    "/externalReportId": _ARCHIVE,
    "/metadata/*": _METADATA,
    "/priorReports/**": _PRIORS,
    "/reportIds/*/status": _INDEX,
    "/reportIds/*/isCritical": _INDEX,
    "/users/*/canCreateReports": _ACCESS,
    "/users/*/canManageStudies": _ACCESS,
    "/users/*/hasDashboardAccess": _ACCESS,
    "/users/*/invitedSource": _ACCESS,
    "/users/*/level": _ACCESS,
    "/users/*/createdAt": _ACCESS,
    "/users/*/lastLoginAt": _ACCESS,
}
# Pattern -> why it reaches no HL7 v2 field
HL7V2_LOSSES: Final[dict[str, str]] = {
    **FHIR_LOSSES,
    "/reports/*/createdAt": "ORU^R01 has no field for the first dictation",
    "/reports/*/updatedAt": "ORU^R01 says when a result was signed; of a draft it is OBR-22",
    "/reports/*/snapshotMetadata/age": "free text; PID-7 has the date of birth",
    "/isCancelled": "withdraws a signed report only where the site's on_cancelled_after_sign asks for it",
    "/studyReportStatus": "AutoScribe's work list; the report's own status is OBR-25",
    "/expressCustomer/**": "AutoScribe's customer; what its numbers mean is a setting of the site",
    "/users/*/email": "ORU^R01 has no address of the interpreter",
    "/users/*/phoneNumber": "ORU^R01 has no number of the interpreter",
    "/users/*/clinicRole": "a role in AutoScribe",
}
# Pattern -> the switch of the receiver's profile and the values of it that leave the leaf out
SWITCHED_OFF: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "/reports/*/snapshotMetadata/height/**": ("vitals", frozenset({"off"})),
    "/reports/*/snapshotMetadata/weight/**": ("vitals", frozenset({"off"})),
    "/reports/*/isCritical": ("critical", frozenset({"none"})),
    "/technologistNotes/**": ("nte", frozenset({"none", "disclaimer"})),
    "/technologistTechnique": ("nte", frozenset({"none", "disclaimer"})),
    "/studyInstanceUid": ("uid", frozenset({"none"})),
}


def loss(table: Mapping[str, str], pattern: str, receiver: Receiver) -> str | None:
    """Why a leaf moves nothing in the language of `table`, or None where there is no reason."""
    if found := _find(table, pattern):
        return found
    switched = _find(SWITCHED_OFF, pattern) if table is HL7V2_LOSSES else None
    if switched and getattr(receiver, switched[0]) in switched[1]:
        return f"the receiver's profile has {switched[0]} = {getattr(receiver, switched[0])}"
    return None


def _find(table: Mapping[str, Found], pattern: str) -> Found | None:
    if pattern in table:
        return table[pattern]
    return next((found for key, found in table.items() if key.endswith("**") and pattern.startswith(key[:-2])), None)
