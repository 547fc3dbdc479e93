"""Table of all losses of reading back, and the study with exactly these losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from fakes.read_back import fhir_losses, hl7v2_losses, values
from fakes.read_back.telling import Language, Told
from fakes.read_back.values import Apply, not_said, not_said_of_reports, not_said_of_users

from mappings.model import Cause, Facts, Study
from mappings.profile import Site

ABSENT: Final = ""
"""Code of wholly missing leaves: the tables "Not in FHIR" and "Not in HL7 v2" have none."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One row: its code, the leaf of AutoScribe's JSON, the language, condition, reason, and effect on the study."""

    code: str
    leaf: str
    language: Language
    when: str
    reason: str
    apply: Apply


_SNAPSHOT: Final = "/reports/*/snapshotMetadata"
_ROW: Final = "when AutoScribe last stored the study; a report has times of its own"
_CANCELLED_AT: Final = "status shows a cancelled study, without the time"
_OWN_SNAPSHOT: Final = "one for the whole study; each report has its own snapshot, which is read"
_PAIRS: Final = "free pairs: only the keys that a site names for accession and placer order numbers are read"
_UNIT: Final = "not published: the measurement is unclear (issue unit-unknown)"
_NOBODY: Final = "not published: outside 20-260 cm, 0.2-650 kg (issue measurement-impossible)"
_DAY: Final = "the date does not exist: dropped (issue birth-date-impossible)"
_NO_DAY: Final = "dropped (issue study-date-impossible); the time of signing replaces it"
_ITS_DAY: Final = "dropped (issue study-date-impossible); the day of the signature replaces it"
_NOT_SEPARATE: Final = "one list of notes, the technique first"
_ORDERS: Final = "a number keeps its authority, not its key"

# In the order in which they apply
LOSSES: Final = (
    Loss(ABSENT, "/createdAt", "fhir", "", _ROW, not_said("created_at")),
    Loss(ABSENT, "/updatedAt", "fhir", "", _ROW, not_said("updated_at")),
    Loss(ABSENT, "/cancelledAt", "fhir", "", _CANCELLED_AT, not_said("cancelled_at")),
    Loss(ABSENT, "/reportMetadata/**", "fhir", "", _OWN_SNAPSHOT, fhir_losses.metadata_of_reports),
    Loss(ABSENT, "/metadata/*", "fhir", "", _PAIRS, values.unnamed_metadata),
    Loss(
        "normal-form",
        "every text but reportPlainText",
        "fhir",
        "control characters, other line breaks than LF, tabs, outer white space, lone surrogates",
        "N(text): a FHIR string cannot hold them (issues character-removed, character-replaced)",
        values.normal_forms,
    ),
    Loss(
        "blank",
        "every text but reportPlainText",
        "fhir",
        "blank",
        "a FHIR string is never empty: treated as absent",
        values.blanks,
    ),
    Loss(
        "draft-text",
        "/reports/*/reportPlainText",
        "fhir",
        "unsigned, and the site sends no drafts",
        "unsigned text is withheld (issue unsigned-text-withheld)",
        fhir_losses.drafts,
    ),
    Loss(
        "draft-critical",
        "/reports/*/isCritical",
        "fhir",
        "true, and unsigned",
        "a draft is never critical (issue unsigned-critical-withheld)",
        fhir_losses.critical_drafts,
    ),
    Loss(
        "draft-signed-at",
        "/reports/*/signedAt",
        "fhir",
        "present, and unsigned",
        "its status is unsigned: the time of signing is left out (issue signed-at-unexpected)",
        fhir_losses.signatures_of_drafts,
    ),
    Loss(
        "surrogate",
        "/reports/*/reportPlainText",
        "fhir",
        "a lone surrogate",
        "UTF-8 cannot hold it: replaced by U+FFFD (issue character-replaced)",
        fhir_losses.surrogates,
    ),
    Loss(
        "empty-text",
        "/reports/*/reportPlainText",
        "fhir",
        "a text of no characters",
        "an attachment must have bytes: treated as absent",
        fhir_losses.empty_texts,
    ),
    Loss(
        "moment",
        "/reports/*/createdAt, signedAt, updatedAt",
        "fhir",
        "in another form than a FHIR instant, or to the nanosecond",
        "the same moment as an instant, to the microsecond",
        fhir_losses.moments,
    ),
    Loss(
        "updated-at-absent",
        "/reports/*/updatedAt",
        "fhir",
        "absent",
        "Provenance.recorded is required: signedAt, else createdAt, is used",
        fhir_losses.updates,
    ),
    Loss("birth-date", f"{_SNAPSHOT}/dateOfBirth", "fhir", "no date", _DAY, values.impossible_birth_date),
    Loss(
        "metadata-alone",
        "/reportMetadata/**",
        "fhir",
        "the study has no report yet: age, height, weight, studyDate, studyTime",
        "only a report's resources hold them; patient, facility, procedure and referrer are read",
        fhir_losses.metadata_alone,
    ),
    Loss(
        "study-time",
        f"{_SNAPSHOT}/studyTime",
        "fhir",
        "sent with the date",
        "seconds of 0, outer white space and digits beyond the microsecond are dropped",
        fhir_losses.study_times,
    ),
    Loss("study-date", f"{_SNAPSHOT}/studyDate", "fhir", "no whole date", _NO_DAY, values.no_whole_study_date),
    Loss("unit", f"{_SNAPSHOT}/height, weight", "fhir", "an unknown unit", _UNIT, values.measured_in_unknown_units),
    Loss(
        "impossible", f"{_SNAPSHOT}/height, weight", "fhir", "outside human limits", _NOBODY, values.measured_impossibly
    ),
    Loss(
        "undated",
        f"{_SNAPSHOT}/height, weight",
        "fhir",
        "no study date",
        "not published: the time of measurement is unknown (issue measurement-undated)",
        fhir_losses.undated_measurements,
    ),
    Loss(
        "repeated",
        f"{_SNAPSHOT}/height, weight",
        "fhir",
        "an addendum repeats its original's value for the same patient and day",
        "one measurement is published once, with the original",
        fhir_losses.repeated_measurements,
    ),
    Loss(
        "mrn-spelling",
        f"{_SNAPSHOT}/mrn",
        "fhir",
        "another report about the patient has another number, or spells it differently",
        "the Patient has each number once, without its report: the first is read for all",
        fhir_losses.mrn_spellings,
    ),
    Loss(
        "said-by-others",
        f"{_SNAPSHOT}/mrn, dateOfBirth, sex, referringPhysicianName",
        "fhir",
        "absent here, but present in another report about the patient or in the study",
        "it is held once, in the Patient or the ImagingStudy; only a different value is held with the report",
        fhir_losses.said_by_others,
    ),
    Loss(
        "procedure",
        f"{_SNAPSHOT}/procedure",
        "fhir",
        "absent",
        "studyDescription replaces it (issue procedure-absent)",
        values.description_for_procedure,
    ),
    Loss(
        "any-examination",
        f"{_SNAPSHOT}/procedure",
        "fhir",
        "`Diagnostic imaging study`",
        "treated as absent: this is the name of an unknown examination",
        values.any_examination,
    ),
    Loss(
        "study-type",
        "/studyType",
        "fhir",
        "not `external`",
        "any other value is a study of AutoScribe",
        not_said("study_type"),
    ),
    Loss(
        "not-cancelled",
        "/isCancelled",
        "fhir",
        "false",
        "treated as absent: status shows only a cancelled study",
        fhir_losses.not_cancelled,
    ),
    Loss(
        "cancelled-after-sign",
        "/isCancelled",
        "fhir",
        "true after the signature, and the site has `on_cancelled_after_sign = hold`",
        "held back until an operator decides (issue cancelled-after-sign)",
        fhir_losses.cancelled_after_sign,
    ),
    Loss(
        "modality",
        "/modality",
        "fhir",
        "`MRI`, `XR` and the like, or several (`PET/CT`)",
        "as DICOM codes each, in one order",
        fhir_losses.modality,
    ),
    Loss("order-numbers", "/metadata/*", "fhir", "several numbers", _ORDERS, values.order_numbers),
    Loss(
        "not-a-signer",
        "/users/*",
        "fhir",
        "author of no report of the study",
        "no resource refers to that user",
        values.without_strangers,
    ),
    Loss(
        "no-last-name",
        "/users/*",
        "fhir",
        "no last name",
        "no Practitioner: named by identifier and display (issue user-last-name-absent)",
        fhir_losses.users_without_last_name,
    ),
    Loss(
        "name-parts",
        "/users/*/middleName, suffix2",
        "fhir",
        "present without firstName, suffix1",
        "lists of given names and suffixes have no empty places",
        fhir_losses.name_parts_in_order,
    ),
    Loss(
        "external",
        "/studyType",
        "fhir",
        "`external`: the whole study",
        "AutoScribe does not report an archive's study (issue study-external)",
        fhir_losses.external,
    ),
    Loss(ABSENT, "/createdAt", "hl7v2", "", _ROW, not_said("created_at")),
    Loss(ABSENT, "/updatedAt", "hl7v2", "", _ROW, not_said("updated_at")),
    Loss(ABSENT, "/cancelledAt", "hl7v2", "", _CANCELLED_AT, not_said("cancelled_at")),
    Loss(ABSENT, "/reportMetadata/**", "hl7v2", "", _OWN_SNAPSHOT, not_said("metadata_snapshot")),
    Loss(ABSENT, "/metadata/*", "hl7v2", "", _PAIRS, values.unnamed_metadata),
    Loss(
        ABSENT,
        "/reports/*/createdAt",
        "hl7v2",
        "",
        "ORU^R01 has no field for the first dictation",
        not_said_of_reports("created_at"),
    ),
    Loss(
        ABSENT,
        "/reports/*/updatedAt",
        "hl7v2",
        "",
        "ORU^R01 has the time of signing; OBR-22 is it for a draft, and for a text changed since",
        not_said_of_reports("updated_at"),
    ),
    Loss(
        ABSENT,
        f"{_SNAPSHOT}/age",
        "hl7v2",
        "",
        "free text; PID-7 has the date of birth",
        hl7v2_losses.ages,
    ),
    Loss(
        ABSENT,
        "/isCancelled",
        "hl7v2",
        "",
        "withdraws a signed report only if the site's on_cancelled_after_sign asks for it",
        not_said("is_cancelled"),
    ),
    Loss(
        ABSENT,
        "/studyReportStatus",
        "hl7v2",
        "",
        "AutoScribe's work list; the report's own status is OBR-25",
        not_said("study_report_status"),
    ),
    Loss(
        ABSENT,
        "/expressCustomer/**",
        "hl7v2",
        "",
        "AutoScribe's customer; a setting of the site gives the meaning of its numbers",
        not_said("express_customer"),
    ),
    Loss(
        ABSENT, "/users/*/email", "hl7v2", "", "ORU^R01 has no address of the interpreter", not_said_of_users("email")
    ),
    Loss(
        ABSENT,
        "/users/*/phoneNumber",
        "hl7v2",
        "",
        "ORU^R01 has no number of the interpreter",
        not_said_of_users("phone_number"),
    ),
    Loss(ABSENT, "/users/*/clinicRole", "hl7v2", "", "a role in AutoScribe", not_said_of_users("clinic_role")),
    Loss(
        "draft",
        "/reports/*",
        "hl7v2",
        "not signed",
        "unsigned text is withheld (issue report-not-signed)",
        hl7v2_losses.drafts,
    ),
    Loss(
        "other-patients",
        "/reports/*",
        "hl7v2",
        "about another patient than the message",
        "it has its own message",
        hl7v2_losses.other_patients,
    ),
    Loss(
        "normal-form",
        "every text",
        "hl7v2",
        "control characters, line breaks, tabs, lone surrogates, outer white space",
        "N(text), in fields of one line with a blank for a line break (issues character-removed, lines-joined)",
        values.normal_forms,
    ),
    Loss(
        "blank",
        "every text",
        "hl7v2",
        "blank",
        "an empty field: treated as absent",
        values.blanks,
    ),
    Loss("birth-date", f"{_SNAPSHOT}/dateOfBirth", "hl7v2", "no date", _DAY, values.impossible_birth_date),
    Loss("study-date", f"{_SNAPSHOT}/studyDate", "hl7v2", "no whole date", _ITS_DAY, values.no_whole_study_date),
    Loss(
        "one-snapshot",
        f"{_SNAPSHOT}/**",
        "hl7v2",
        "several reports are restated",
        "a message has one PID and one OBR: those of the newest original",
        hl7v2_losses.one_snapshot,
    ),
    Loss(
        "text",
        "/reports/*/reportPlainText",
        "hl7v2",
        "control characters, other line breaks than LF, tabs, lone surrogates",
        "N(text) (issues character-removed, character-replaced)",
        hl7v2_losses.texts_in_normal_form,
    ),
    Loss(
        "empty-text",
        "/reports/*/reportPlainText",
        "hl7v2",
        "white space alone",
        "a notice replaces the text (issue report-text-absent)",
        hl7v2_losses.empty_texts,
    ),
    Loss(
        "blank-line",
        "/reports/*/reportPlainText",
        "hl7v2",
        "a line of one blank",
        "one blank stands for an empty line, which many receivers would drop",
        hl7v2_losses.blank_lines,
    ),
    Loss(
        "null",
        "/reports/*/reportPlainText",
        "hl7v2",
        'a line of `""` and a blank',
        'so is a line of `""` sent, which alone would delete',
        hl7v2_losses.nulls,
    ),
    Loss(
        "signed-at",
        "/reports/*/signedAt",
        "hl7v2",
        "fractions of a second, another offset than UTC, several reports restated, or no moment",
        "OBR-22 has whole seconds, the line above each of several reports minutes, both in the zone of the site; "
        "an unreadable time is not sent (issue instant-unreadable)",
        hl7v2_losses.signatures,
    ),
    Loss(
        "withdrawn-critical",
        "/reports/*/isCritical",
        "hl7v2",
        "true, and the report is withdrawn",
        "a withdrawn report is not marked critical",
        hl7v2_losses.withdrawn_critical,
    ),
    Loss(
        "not-critical",
        "/reports/*/isCritical",
        "hl7v2",
        "false",
        "as null: nothing is asserted",
        hl7v2_losses.not_critical,
    ),
    Loss(
        "placeholder",
        f"{_SNAPSHOT}/mrn, /externalPatientId",
        "hl7v2",
        "a placeholder (`000000`, `UNKNOWN`)",
        "it would join strangers in the receiver (issue identifier-placeholder)",
        hl7v2_losses.placeholders,
    ),
    Loss(
        "sex",
        f"{_SNAPSHOT}/sex",
        "hl7v2",
        "an unknown code",
        "`U` (issue sex-unknown-code)",
        hl7v2_losses.unknown_sex,
    ),
    Loss(
        "study-time",
        f"{_SNAPSHOT}/studyTime",
        "hl7v2",
        "no zone is known, or a fraction of a second, or no time",
        "only the date, or whole seconds (issues time-zone-unknown, study-time-impossible, study-time-ambiguous)",
        hl7v2_losses.study_times,
    ),
    Loss("unit", f"{_SNAPSHOT}/height, weight", "hl7v2", "an unknown unit", _UNIT, values.measured_in_unknown_units),
    Loss(
        "impossible",
        f"{_SNAPSHOT}/height, weight",
        "hl7v2",
        "outside human limits",
        _NOBODY,
        values.measured_impossibly,
    ),
    Loss(
        "ten-digits",
        f"{_SNAPSHOT}/height, weight",
        "hl7v2",
        "more than ten digits",
        "NM with ten digits",
        hl7v2_losses.numbers_of_ten_digits,
    ),
    Loss(
        "facility",
        f"{_SNAPSHOT}/facilityName",
        "hl7v2",
        "an alias of a facility that the site has a code for",
        "the code replaces the name",
        hl7v2_losses.facilities,
    ),
    Loss(
        "unplaced-words",
        f"{_SNAPSHOT}/patientName, referringPhysicianName",
        "hl7v2",
        "a word that is neither family, given, title nor suffix, or stands in brackets or quotation marks",
        "XPN has no place for it (issue name-part-unclear)",
        hl7v2_losses.unplaced_words,
    ),
    Loss(
        "name",
        f"{_SNAPSHOT}/patientName, referringPhysicianName",
        "hl7v2",
        "present",
        "the words are sent in their parts, without their separators and order",
        hl7v2_losses.words_of_names,
    ),
    Loss(
        "procedure",
        f"{_SNAPSHOT}/procedure",
        "hl7v2",
        "absent",
        "studyDescription replaces it (issue procedure-absent)",
        values.description_for_procedure,
    ),
    Loss(
        "description",
        "/studyDescription",
        "hl7v2",
        "present",
        "only replaces a missing procedure",
        hl7v2_losses.descriptions,
    ),
    Loss(
        "study-type",
        "/studyType",
        "hl7v2",
        "not `external`",
        "any other value is a study of AutoScribe",
        not_said("study_type"),
    ),
    Loss(
        "severity",
        "/severity",
        "hl7v2",
        "an unknown code",
        "table 0485 has no code for it",
        hl7v2_losses.unknown_severity,
    ),
    Loss(
        "modality",
        "/modality",
        "hl7v2",
        "present",
        "OBR-24 has the section of table 0074: `RX` for CR, DX, MG, RF, XA, `NMS` for NM, PT, `RAD` for the unknown; "
        "of several modalities that of one",
        hl7v2_losses.sections_of_modalities,
    ),
    Loss(
        "history",
        "/clinicalHistory",
        "hl7v2",
        "equal to the indication, or beyond 300 characters without an indication",
        "OBR-13 and OBR-31 do not show which of the two they hold",
        hl7v2_losses.history_as_indication,
    ),
    Loss("technique", "/technologistTechnique", "hl7v2", "present", _NOT_SEPARATE, values.technique_among_notes),
    Loss("order-numbers", "/metadata/*", "hl7v2", "several numbers", _ORDERS, values.order_numbers),
    Loss(
        "not-their-numbers",
        "/externalPatientId, /metadata/*",
        "hl7v2",
        "the message is about another patient than the study's own",
        "they belong to the study's own patient and to that patient's orders",
        hl7v2_losses.numbers_of_the_studys_patient,
    ),
    Loss(
        "not-a-signer",
        "/users/*",
        "hl7v2",
        "author of no report in the message",
        "no field names that user",
        values.without_strangers,
    ),
    Loss(
        "npi",
        "/users/*/npiNumber",
        "hl7v2",
        "a wrong check digit",
        "not sent as an NPI (issue npi-invalid)",
        hl7v2_losses.unverified_npis,
    ),
    Loss(
        "suffixes",
        "/users/*/suffix1, suffix2",
        "hl7v2",
        "two degrees, or a degree first",
        "XCN.5 has suffixes of the name (Jr., III), XCN.7 the degrees",
        hl7v2_losses.suffixes,
    ),
    Loss(
        "study-number",
        "/studyId",
        "hl7v2",
        "the message is about another patient than the study's first signed report",
        "no result overwrites another person's: OBR-3 is made of its own first report's id",
        hl7v2_losses.study_numbers,
    ),
    Loss(
        "report-id",
        "/reports/*/reportId",
        "hl7v2",
        "several reports are restated",
        "OBR-21 has the id of the report that caused the message, without showing which one that is",
        hl7v2_losses.report_ids,
    ),
    Loss(
        "user-id",
        "/reports/*/userId, /users/*/userId",
        "hl7v2",
        "always",
        "OBX-16 has the signer's NPI and name",
        hl7v2_losses.user_ids,
    ),
)


_NO_FACTS: Final = Facts()


def said(study: Study) -> Study:
    """Remove pointers and decoding issues from the study."""
    users = {key: replace(user, pointer="") for key, user in study.users.items()}
    reports = tuple(replace(report, pointer="") for report in study.reports)
    return replace(study, reports=reports, users=users, issues=())


def lose_fhir(study: Study, site: Site, facts: Facts = _NO_FACTS) -> Study:
    """Apply all losses of FHIR to the study."""
    return lost(study, Told("fhir", study, site, facts))[0]


def lose_hl7v2(study: Study, cause: Cause, site: Site, facts: Facts = _NO_FACTS) -> Study:
    """Apply all losses of a cause's message to the study."""
    return lost(study, Told("hl7v2", study, site, facts, cause))[0]


def lost(study: Study, told: Told) -> tuple[Study, list[Loss]]:
    """Apply all losses of a language to the study; return those that changed it too."""
    made, losses = said(study), []
    for loss in LOSSES:
        if loss.language == told.language:
            before, made = made, loss.apply(made, told)
            if made != before:
                losses.append(loss)
    return made, losses
