"""Write the OBR segment: the examination, and the status of the report.

HL7 v2.5.1 §4.5.3 and §7.4.1.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from mappings.codes import DIAGNOSTIC_IMAGING_STUDY
from mappings.hl7v2.er7 import COMPONENT, Table, components, is_one_line, repetitions, subcomponents, value
from mappings.hl7v2.lengths import LENGTHS_OF
from mappings.hl7v2.obx import observation_segments
from mappings.hl7v2.orc import (
    NAMESPACE,
    filler_order_number,
    ordering_provider,
    placer_order_number,
    priority,
    quantity_timing,
)
from mappings.hl7v2.received import statuses_digest
from mappings.hl7v2.result import Result
from mappings.hl7v2.stated import ce
from mappings.hl7v2.versions import PROCEDURE_CODE_OR_NOTHING, layouts
from mappings.model import Report
from mappings.patient.identifiers import short_id
from mappings.profile import exact
from mappings.study.orders import message_pointer
from mappings.values.dates import second_after, version_instant
from mappings.values.procedures import diagnostic_service_section, dicom_modality, examination, modality_issues

# Table 0074, if the modality is not known
RADIOLOGY: Final = "RAD"


def obr_4_universal_service_identifier(result: Result) -> str:
    """OBR-4 Universal Service Identifier <- snapshot.procedure, or the order's OBR-4, by the receiver's `obr4`.

    HL7 v2.5.1 §4.5.3.4, decision D48. Where the order's stands first, the report's procedure is the alternate triplet,
    unless both have one text. A difference is an issue either way.
    """
    reported, answered = result.once(reported_procedure), result.order.answered
    ordered = ce(answered.procedure) if answered else ""
    if answered is None or not ordered:
        return reported
    is_same = exact(answered.procedure.text) == exact(result.snapshot.procedure or result.study.study_description or "")
    if not is_same:
        action = f"the order names another procedure than the report: OBR-4 has that of the {result.receiver.obr4}"
        result.note("procedure-differs", "information", message_pointer(answered.message), action)
    if result.receiver.obr4 == "report":
        return reported
    if not is_same:
        first = replace(answered.procedure, alternate_code="", alternate_text="", alternate_system="")
        triplet = [*ce(first).split(COMPONENT), "", ""][:3]
        ordered = components(*triplet, reported)
    return result.fit("OBR", 4, ordered, message_pointer(answered.message))


def reported_procedure(result: Result) -> str:
    """Write snapshot.procedure for OBR-4 and OBR-44, with a code only by exact match (D23).

    HL7 v2.5.1 §4.5.3.44. Without a match it is text, with the site's code for the modality if there is one. Without a
    procedure it is the study's description. Without both, since the field is required, it is the LOINC code for any
    diagnostic imaging study.
    """
    examined = examination(result.study, result.lead, result.site, value)
    result.issues.extend(examined.issues)
    if examined.text is None:
        return components(*DIAGNOSTIC_IMAGING_STUDY, "LN")
    code = examined.code or examined.fallback
    coded = (value(code.code), examined.text, code.coding_system) if code else ("", examined.text)
    return result.fit("OBR", 4, components(*coded), result.at_snapshot("procedure"))


def obr_7_observation_date_time(result: Result) -> str:
    """OBR-7 Observation Date/Time <- studyDate, with studyTime only in a known zone, ?? the day of signedAt (D15).

    HL7 v2.5.1 §7.4.1.7.
    """
    return result.examined_at(result.lead)


def clinical_indication(result: Result) -> str:
    """Write study.clinicalIndication for OBR-13 and OBR-31: one line, escaped."""
    return _one_line(result, result.study.clinical_indication, "/clinicalIndication")


def clinical_history(result: Result) -> str:
    """Write study.clinicalHistory for OBR-13 or OBR-31: one line, escaped."""
    return _one_line(result, result.study.clinical_history, "/clinicalHistory")


def _one_line(result: Result, text: str | None, pointer: str) -> str:
    """Write a text without line breaks, which ST and CE lack: its lines are joined by a blank, with an issue."""
    if text and not is_one_line(text):
        result.note("lines-joined", "information", pointer, "one line in OBR-13 and OBR-31")
    return value(text)


def obr_13_relevant_clinical_information(result: Result) -> str:
    """OBR-13 Relevant Clinical Information <- study.clinicalHistory, else study.clinicalIndication; if it fits.

    HL7 v2.5.1 §7.4.1.13. OBR-31 always has the indication, and a history that does not fit here. v2.7 §4.5.3.13 is a
    CWE in hl7apy's tables and an ST in others: both can read the bare text.
    """
    limit = LENGTHS_OF[result.receiver.version]["OBR"][13]
    history = result.once(clinical_history)
    text = history if 0 < len(history) <= limit else result.once(clinical_indication)
    return text if len(text) <= limit else ""


def obr_18_placer_field_1(result: Result) -> str:
    """OBR-18 Placer Field 1 <- the accession number, if the receiver's `accession_field` selects this field.

    HL7 v2.5.1 §4.5.3.18, decision D18. With `accession_field` 3 it is written only if OBR-3 has another number: one
    fixed before the accession number was known, or the number of another patient's report.
    """
    field, number = result.receiver.accession_field, result.order.accession_number
    if field == "20" or (field == "3" and number == result.filler_order_number):
        return ""
    return result.fit("OBR", 18, value(number), result.order.pointer)


def obr_20_filler_field_1(result: Result) -> str:
    """OBR-20 Filler Field 1 <- the accession number, if the receiver's `accession_field` is 20.

    HL7 v2.5.1 §4.5.3.20, decision D18.
    """
    if result.receiver.accession_field != "20":
        return ""
    return result.fit("OBR", 20, value(result.order.accession_number), result.order.pointer)


def obr_21_filler_field_2(result: Result) -> str:
    """OBR-21 Filler Field 2 <- the reportId that caused the message, in 22 characters.

    HL7 v2.5.1 §7.4.1.21.
    """
    return short_id(result.cause.report_id)


def obr_22_results_rpt_status_chng_date_time(result: Result) -> str:
    """OBR-22 Results Rpt/Status Chng - Date/Time <- newest signedAt, or change of a text since; updatedAt of a draft.

    HL7 v2.5.1 §7.4.1.22, decisions D17, D19. Of a text that changed without a new signature it is the `updatedAt` that
    came first with it, or when the gateway first read it (life/last_known.py). It never lies before what the
    destination was told under the number (`Facts.reported`). With another status, or another flag on a line, it is
    later: at least the time of rendering.
    """
    moments = [moment for report in result.subject.reports if (moment := _version_moment(result, report))]
    newest = max(moments, default=None)
    told = result.facts.reported.get(result.filler_order_number)
    if told is not None and (newest is None or newest.replace(microsecond=0) <= told.at):
        is_as_told = told.statuses == statuses_digest(obr_25_result_status(result), observation_segments(result))
        newest = told.at if is_as_told else max(result.at, second_after(told.at))
    if newest is None:
        return ""
    result.reported[result.filler_order_number] = newest
    return result.dtm(newest)


def _version_moment(result: Result, report: Report) -> datetime | None:
    """Moment of a report's present version; an unreadable one is an issue."""
    signing = result.signed_at(report)
    return version_instant(report) or (signing[0] if signing else None)


def obr_24_diagnostic_serv_sect_id(result: Result) -> str:
    """OBR-24 Diagnostic Serv Sect ID <- study.modality, by the receiver's `modality_table`.

    HL7 v2.5.1 §7.4.1.24: of table 0074, or DICOM's code of the modality; `RAD` if that is unknown. Of several
    modalities it is the first in `mappings.codes.MODALITY_ORDER`.
    """
    table = result.receiver.modality_table
    if table == "RAD":
        return RADIOLOGY
    result.issues.extend(modality_issues(result.study))
    if table == "dicom":
        return dicom_modality(result.study.modality) or RADIOLOGY
    return diagnostic_service_section(result.study.modality)


def obr_25_result_status(result: Result) -> str:
    """OBR-25 Result Status <- report.status, table 0123 (mappings/life/status.py): F, or C after an earlier message.

    HL7 v2.5.1 §7.4.1.25.
    """
    return result.status.obr_25 or ""


def obr_29_parent(result: Result) -> str:
    """OBR-29 Parent <- placer and filler numbers of the original's order, for an addendum with its own order.

    HL7 v2.5.1 §4.5.3.29. All originals about a patient stand under one order, so a second one changes no parent.
    """
    number = result.parent_filler
    if not number:
        return ""
    filler = subcomponents(value(number), NAMESPACE if number in result.own_numbers else "")
    numbers = components(value(result.order.placer_order_number), filler)
    return result.fit("OBR", 29, numbers, result.order.pointer)


def obr_31_reason_for_study(result: Result) -> str:
    """OBR-31 Reason for Study <- study.clinicalIndication, as text; then study.clinicalHistory if OBR-13 lacks it.

    HL7 v2.5.1 §7.4.1.31.
    """
    reason = result.fit("OBR", 31, components("", result.once(clinical_indication)), "/clinicalIndication")
    history = result.once(clinical_history)
    if len(history) <= LENGTHS_OF[result.receiver.version]["OBR"][13]:
        return reason
    other = result.fit("OBR", 31, components("", history), "/clinicalHistory")
    return repetitions((reason, other)) if reason else other


def obr_32_principal_result_interpreter(result: Result) -> str:
    """OBR-32 Principal Result Interpreter <- the User with the newest original's userId, never assignedTo (D24).

    HL7 v2.5.1 §7.4.1.32: NDL, with a CNN of sub-components as first component. The receiver's `interpreter` decides if
    its number is the NPI or the local id, or if the field is the name alone.
    """
    signer = result.signer(result.interpreted)
    if signer is None:
        return ""
    interpreter = signer.vista_name if result.receiver.interpreter == "name" else signer.cnn
    return result.fit("OBR", 32, interpreter, signer.user.pointer)


def obr_44_procedure_code(result: Result) -> str:
    """OBR-44 Procedure Code <- snapshot.procedure, as OBR-4; empty if the version takes no text without a code.

    HL7 v2.5.1 §4.5.3.44.
    """
    procedure = result.once(reported_procedure)
    is_text = procedure.startswith(COMPONENT)
    return "" if is_text and result.receiver.version in PROCEDURE_CODE_OR_NOTHING else procedure


OBR: Final[Table[Result]] = {
    1: lambda result: str(result.set_id),
    2: placer_order_number,
    3: lambda result: result.once(filler_order_number),
    4: obr_4_universal_service_identifier,
    5: priority,
    7: obr_7_observation_date_time,
    13: obr_13_relevant_clinical_information,
    16: lambda result: result.once(ordering_provider),
    18: obr_18_placer_field_1,
    20: obr_20_filler_field_1,
    21: obr_21_filler_field_2,
    22: obr_22_results_rpt_status_chng_date_time,
    24: obr_24_diagnostic_serv_sect_id,
    25: obr_25_result_status,
    27: quantity_timing,
    29: obr_29_parent,
    31: obr_31_reason_for_study,
    32: obr_32_principal_result_interpreter,
    44: obr_44_procedure_code,
}
OBR_LAYOUTS: Final = layouts(OBR, "OBR")
