"""Tables of the data in AutoScribe's JSON that do not reach FHIR or HL7 v2, with the reasons.

Carries out no clause of a standard; decision D6. Every leaf listed here changes nothing, and every leaf that changes
nothing is listed: both are tested. `**` at the end of a pattern means everything below. Values that arrive changed are
in `changed_values`.
Proved by tests/mappings/trace/test_trace.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from mappings.profile import Receiver

Found = TypeVar("Found")

_WORKFLOW: Final = "AutoScribe's workflow; the signer is the report's own userId"
_ACCESS: Final = "a user's permissions and last login in AutoScribe: no statement about a report"
_INDEX: Final = "AutoScribe's list of the study's reports: compared with the reports themselves"
_PRIORS: Final = "other examinations, reported elsewhere: not this report's to restate"
_ARCHIVE: Final = "an archive's document, not a report of AutoScribe"
_METADATA: Final = "free pairs: only the keys that a site names for accession and placer order numbers are read"
_SAID_BY_REPORTS: Final = "one for the whole study; each report has its own snapshot, which is read"
_ROW: Final = "when AutoScribe last stored the study; a report has times of its own"

# Pattern -> why it reaches no FHIR element
FHIR_LOSSES: Final[dict[str, str]] = {
    "/createdAt": _ROW,
    "/updatedAt": _ROW,
    "/cancelledAt": "status shows a cancelled study, without the time",
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
    "/reports/*/updatedAt": "ORU^R01 has the time of signing; OBR-22 is it for a draft, and for a text changed since",
    "/reports/*/snapshotMetadata/age": "free text; PID-7 has the date of birth",
    "/isCancelled": "withdraws a signed report only if the site's on_cancelled_after_sign asks for it",
    "/studyReportStatus": "AutoScribe's work list; the report's own status is OBR-25",
    "/expressCustomer/**": "AutoScribe's customer; a setting of the site gives the meaning of its numbers",
    "/users/*/email": "ORU^R01 has no address of the interpreter",
    "/users/*/phoneNumber": "ORU^R01 has no number of the interpreter",
    "/users/*/clinicRole": "a role in AutoScribe",
}
# Pattern -> the receiver's switch, and its values that leave the leaf out
SWITCHED_OFF: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "/reports/*/snapshotMetadata/height/**": ("vitals", frozenset({"off"})),
    "/reports/*/snapshotMetadata/weight/**": ("vitals", frozenset({"off"})),
    "/reports/*/isCritical": ("critical", frozenset({"none"})),
    "/technologistNotes/**": ("nte", frozenset({"none", "disclaimer"})),
    "/technologistTechnique": ("nte", frozenset({"none", "disclaimer"})),
    "/studyInstanceUid": ("uid", frozenset({"none"})),
}


def loss(table: Mapping[str, str], pattern: str, receiver: Receiver) -> str | None:
    """Return the reason that a leaf changes nothing in the language of `table`, or None without a reason."""
    if reason := _find(table, pattern):
        return reason
    switched = _find(SWITCHED_OFF, pattern) if table is HL7V2_LOSSES else None
    if switched and getattr(receiver, switched[0]) in switched[1]:
        return f"the receiver's profile has {switched[0]} = {getattr(receiver, switched[0])}"
    return None


def _find(table: Mapping[str, Found], pattern: str) -> Found | None:
    if pattern in table:
        return table[pattern]
    return next((found for key, found in table.items() if key.endswith("**") and pattern.startswith(key[:-2])), None)
