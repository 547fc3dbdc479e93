"""Tables of the data in AutoScribe's JSON that do not reach FHIR or HL7 v2, or arrive changed, with the reasons.

Carries out no clause of a standard; decision D6. Every leaf that is listed as lost changes nothing, and every leaf that
changes nothing is listed: both are tested. `**` at the end of a pattern means everything below. A reader that turns
FHIR or a message back into AutoScribe's data gets all but these.
Proved by tests/mappings/trace/test_trace.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class ExampleChange:
    """Change to the values of a leaf: its code, the leaf or leaves, the condition, and why it cannot be undone."""

    code: str
    leaf: str
    when: str
    reason: str


# Values changed in FHIR, so that nobody can read the original back
FHIR_CHANGES: Final = (
    ExampleChange(
        "normal-form",
        "every text but reportPlainText",
        "control characters, other line breaks than LF, tabs, outer white space, lone surrogates",
        "N(text): a FHIR string cannot hold them (issues character-removed, character-replaced)",
    ),
    ExampleChange(
        "blank",
        "every text but reportPlainText",
        "blank",
        "a FHIR string is never empty: treated as absent",
    ),
    ExampleChange(
        "draft-text",
        "/reports/*/reportPlainText",
        "unsigned, and the site sends no drafts",
        "unsigned text is withheld (issue unsigned-text-withheld)",
    ),
    ExampleChange(
        "draft-critical",
        "/reports/*/isCritical",
        "true, and unsigned",
        "a draft is never critical (issue unsigned-critical-withheld)",
    ),
    ExampleChange(
        "draft-signed-at",
        "/reports/*/signedAt",
        "present, and unsigned",
        "its status is unsigned: the time of signing is left out (issue signed-at-unexpected)",
    ),
    ExampleChange(
        "surrogate",
        "/reports/*/reportPlainText",
        "a lone surrogate",
        "UTF-8 cannot hold it: replaced by U+FFFD (issue character-replaced)",
    ),
    ExampleChange(
        "empty-text",
        "/reports/*/reportPlainText",
        "a text of no characters",
        "an attachment must have bytes: treated as absent",
    ),
    ExampleChange(
        "moment",
        "/reports/*/createdAt, signedAt, updatedAt",
        "in another form than a FHIR instant, or to the nanosecond",
        "the same moment as an instant, to the microsecond",
    ),
    ExampleChange(
        "updated-at-absent",
        "/reports/*/updatedAt",
        "absent",
        "Provenance.recorded is required: signedAt, else createdAt, is used",
    ),
    ExampleChange(
        "birth-date",
        "/reports/*/snapshotMetadata/dateOfBirth",
        "no date",
        "the date does not exist: dropped (issue birth-date-impossible)",
    ),
    ExampleChange(
        "metadata-alone",
        "/reportMetadata/**",
        "the study has no report yet: age, height, weight, studyDate, studyTime",
        "only a report's resources hold them; patient, facility, procedure and referrer are read",
    ),
    ExampleChange(
        "study-time",
        "/reports/*/snapshotMetadata/studyTime",
        "sent with the date",
        "seconds of 0, outer white space and digits beyond the microsecond are dropped",
    ),
    ExampleChange(
        "study-date",
        "/reports/*/snapshotMetadata/studyDate",
        "no whole date",
        "dropped (issue study-date-impossible); the time of signing replaces it",
    ),
    ExampleChange(
        "unit",
        "/reports/*/snapshotMetadata/height, weight",
        "an unknown unit",
        "not published: the measurement is unclear (issue unit-unknown)",
    ),
    ExampleChange(
        "impossible",
        "/reports/*/snapshotMetadata/height, weight",
        "outside human limits",
        "not published: outside 20-260 cm, 0.2-650 kg (issue measurement-impossible)",
    ),
    ExampleChange(
        "undated",
        "/reports/*/snapshotMetadata/height, weight",
        "no study date",
        "not published: the time of measurement is unknown (issue measurement-undated)",
    ),
    ExampleChange(
        "repeated",
        "/reports/*/snapshotMetadata/height, weight",
        "an addendum repeats its original's value for the same patient and day",
        "one measurement is published once, with the original",
    ),
    ExampleChange(
        "mrn-spelling",
        "/reports/*/snapshotMetadata/mrn",
        "another report about the patient has another number, or spells it differently",
        "the Patient has each number once, without its report: the first is read for all",
    ),
    ExampleChange(
        "said-by-others",
        "/reports/*/snapshotMetadata/mrn, dateOfBirth, sex, referringPhysicianName",
        "absent here, but present in another report about the patient or in the study",
        "it is held once, in the Patient or the ImagingStudy; only a different value is held with the report",
    ),
    ExampleChange(
        "procedure",
        "/reports/*/snapshotMetadata/procedure",
        "absent",
        "studyDescription replaces it (issue procedure-absent)",
    ),
    ExampleChange(
        "any-examination",
        "/reports/*/snapshotMetadata/procedure",
        "`Diagnostic imaging study`",
        "treated as absent: this is the name of an unknown examination",
    ),
    ExampleChange("study-type", "/studyType", "not `external`", "any other value is a study of AutoScribe"),
    ExampleChange(
        "not-cancelled",
        "/isCancelled",
        "false",
        "treated as absent: status shows only a cancelled study",
    ),
    ExampleChange(
        "cancelled-after-sign",
        "/isCancelled",
        "true after the signature, and the site has `on_cancelled_after_sign = hold`",
        "held back until an operator decides (issue cancelled-after-sign)",
    ),
    ExampleChange(
        "modality", "/modality", "`MRI`, `XR` and the like, or several (`PET/CT`)", "as DICOM codes each, in one order"
    ),
    ExampleChange("order-numbers", "/metadata/*", "several numbers", "a number keeps its authority, not its key"),
    ExampleChange("not-a-signer", "/users/*", "author of no report of the study", "no resource refers to that user"),
    ExampleChange(
        "no-last-name",
        "/users/*",
        "no last name",
        "no Practitioner: named by identifier and display (issue user-last-name-absent)",
    ),
    ExampleChange(
        "name-parts",
        "/users/*/middleName, suffix2",
        "present without firstName, suffix1",
        "lists of given names and suffixes have no empty places",
    ),
    ExampleChange(
        "external",
        "/studyType",
        "`external`: the whole study",
        "AutoScribe does not report an archive's study (issue study-external)",
    ),
)
# Values changed in HL7 v2, for a receiver whose profile switches nothing off
HL7V2_CHANGES: Final = (
    ExampleChange("draft", "/reports/*", "not signed", "unsigned text is withheld (issue report-not-signed)"),
    ExampleChange("other-patients", "/reports/*", "about another patient than the message", "it has its own message"),
    ExampleChange(
        "normal-form",
        "every text",
        "control characters, line breaks, tabs, lone surrogates, outer white space",
        "N(text), in fields of one line with a blank for a line break (issues character-removed, lines-joined)",
    ),
    ExampleChange("blank", "every text", "blank", "an empty field: treated as absent"),
    ExampleChange(
        "birth-date",
        "/reports/*/snapshotMetadata/dateOfBirth",
        "no date",
        "the date does not exist: dropped (issue birth-date-impossible)",
    ),
    ExampleChange(
        "study-date",
        "/reports/*/snapshotMetadata/studyDate",
        "no whole date",
        "dropped (issue study-date-impossible); the day of the signature replaces it",
    ),
    ExampleChange(
        "one-snapshot",
        "/reports/*/snapshotMetadata/**",
        "several reports are restated",
        "a message has one PID and one OBR: those of the newest original",
    ),
    ExampleChange(
        "text",
        "/reports/*/reportPlainText",
        "control characters, other line breaks than LF, tabs, lone surrogates",
        "N(text) (issues character-removed, character-replaced)",
    ),
    ExampleChange(
        "empty-text",
        "/reports/*/reportPlainText",
        "white space alone",
        "a notice replaces the text (issue report-text-absent)",
    ),
    ExampleChange(
        "blank-line",
        "/reports/*/reportPlainText",
        "a line of one blank",
        "one blank stands for an empty line, which many receivers would drop",
    ),
    ExampleChange(
        "null",
        "/reports/*/reportPlainText",
        'a line of `""` and a blank',
        'so is a line of `""` sent, which alone would delete',
    ),
    ExampleChange(
        "signed-at",
        "/reports/*/signedAt",
        "fractions of a second, another offset than UTC, several reports restated, or no moment",
        "OBR-22 has whole seconds, the line above each of several reports minutes, both in the zone of the site; "
        "an unreadable time is not sent (issue instant-unreadable)",
    ),
    ExampleChange(
        "withdrawn-critical",
        "/reports/*/isCritical",
        "true, and the report is withdrawn",
        "a withdrawn report is not marked critical",
    ),
    ExampleChange("not-critical", "/reports/*/isCritical", "false", "as null: nothing is asserted"),
    ExampleChange(
        "placeholder",
        "/reports/*/snapshotMetadata/mrn, /externalPatientId",
        "a placeholder (`000000`, `UNKNOWN`)",
        "it would join strangers in the receiver (issue identifier-placeholder)",
    ),
    ExampleChange("sex", "/reports/*/snapshotMetadata/sex", "an unknown code", "`U` (issue sex-unknown-code)"),
    ExampleChange(
        "study-time",
        "/reports/*/snapshotMetadata/studyTime",
        "no zone is known, or a fraction of a second, or no time",
        "only the date, or whole seconds (issues time-zone-unknown, study-time-impossible, study-time-ambiguous)",
    ),
    ExampleChange(
        "unit",
        "/reports/*/snapshotMetadata/height, weight",
        "an unknown unit",
        "not published: the measurement is unclear (issue unit-unknown)",
    ),
    ExampleChange(
        "impossible",
        "/reports/*/snapshotMetadata/height, weight",
        "outside human limits",
        "not published: outside 20-260 cm, 0.2-650 kg (issue measurement-impossible)",
    ),
    ExampleChange(
        "ten-digits", "/reports/*/snapshotMetadata/height, weight", "more than ten digits", "NM with ten digits"
    ),
    ExampleChange(
        "facility",
        "/reports/*/snapshotMetadata/facilityName",
        "an alias of a facility that the site has a code for",
        "the code replaces the name",
    ),
    ExampleChange(
        "unplaced-words",
        "/reports/*/snapshotMetadata/patientName, referringPhysicianName",
        "a word that is neither family, given, title nor suffix, or stands in brackets or quotation marks",
        "XPN has no place for it (issue name-part-unclear)",
    ),
    ExampleChange(
        "name",
        "/reports/*/snapshotMetadata/patientName, referringPhysicianName",
        "present",
        "the words are sent in their parts, without their separators and order",
    ),
    ExampleChange(
        "procedure",
        "/reports/*/snapshotMetadata/procedure",
        "absent",
        "studyDescription replaces it (issue procedure-absent)",
    ),
    ExampleChange("description", "/studyDescription", "present", "only replaces a missing procedure"),
    ExampleChange("study-type", "/studyType", "not `external`", "any other value is a study of AutoScribe"),
    ExampleChange("severity", "/severity", "an unknown code", "table 0485 has no code for it"),
    ExampleChange(
        "modality",
        "/modality",
        "present",
        "OBR-24 has the section of table 0074: `RX` for CR, DX, MG, RF, XA, `NMS` for NM, PT, `RAD` for the unknown; "
        "of several modalities that of one",
    ),
    ExampleChange(
        "history",
        "/clinicalHistory",
        "equal to the indication, or beyond 300 characters without an indication",
        "OBR-13 and OBR-31 do not show which of the two they hold",
    ),
    ExampleChange("technique", "/technologistTechnique", "present", "one list of notes, the technique first"),
    ExampleChange("order-numbers", "/metadata/*", "several numbers", "a number keeps its authority, not its key"),
    ExampleChange(
        "not-their-numbers",
        "/externalPatientId, /metadata/*",
        "the message is about another patient than the study's own",
        "they belong to the study's own patient and to that patient's orders",
    ),
    ExampleChange("not-a-signer", "/users/*", "author of no report in the message", "no field names that user"),
    ExampleChange("npi", "/users/*/npiNumber", "a wrong check digit", "not sent as an NPI (issue npi-invalid)"),
    ExampleChange(
        "suffixes",
        "/users/*/suffix1, suffix2",
        "two degrees, or a degree first",
        "XCN.5 has suffixes of the name (Jr., III), XCN.7 the degrees",
    ),
    ExampleChange(
        "study-number",
        "/studyId",
        "the message is about another patient than the study's first signed report",
        "no result overwrites another person's: OBR-3 is made of its own first report's id",
    ),
    ExampleChange(
        "report-id",
        "/reports/*/reportId",
        "several reports are restated",
        "OBR-21 has the id of the report that caused the message, without showing which one that is",
    ),
    ExampleChange("user-id", "/reports/*/userId, /users/*/userId", "always", "OBX-16 has the signer's NPI and name"),
)
