"""OBR, what was examined and how the report on it stands.

HL7 v2.5.1 §4.5.3 and §7.4.1.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import DIAGNOSTIC_IMAGING_STUDY, HL70485
from mappings.dates import effective
from mappings.hl7v2.er7 import Table, components, is_one_line, value
from mappings.hl7v2.lengths import LENGTHS
from mappings.hl7v2.orc import filler_order_number, ordering_provider
from mappings.hl7v2.result import Result
from mappings.identifiers import short_id
from mappings.procedures import diagnostic_service_section, examination, modality_issues


def obr_4_universal_service_identifier(result: Result) -> str:
    """OBR-4 = OBR-44 Universal Service Identifier <- snapshot.procedure, as text: a code is never made up (D23).

    HL7 v2.5.1 §4.5.3.4. Without a procedure the study's description stands for it; without that, since the field is
    required, the LOINC code for any diagnostic imaging study.
    """
    text, doubts = examination(result.study, result.lead, value)
    result.issues.extend(doubts)
    if text is None:
        return components(*DIAGNOSTIC_IMAGING_STUDY, "LN")
    return result.fit("OBR", 4, components("", text), result.at_snapshot("procedure"))


def obr_5_priority(result: Result) -> str:
    """OBR-5 Priority <- study.severity, table 0485: R, A, S; not criticality.

    HL7 v2.5.1 §4.5.3.5.
    """
    return HL70485.get(result.study.severity or "", ("",))[0]


def obr_7_observation_date_time(result: Result) -> str:
    """OBR-7 Observation Date/Time <- snapshot.studyDate, with studyTime only in a known zone (D15).

    HL7 v2.5.1 §7.4.1.7.
    """
    when, issues = effective(result.lead, result.site)
    result.issues.extend(issues)
    return when.dtm if when else ""


def clinical_indication(result: Result) -> str:
    """What OBR-13 and OBR-31 have of study.clinicalIndication: one line, escaped."""
    return value(result.study.clinical_indication)


def obr_13_relevant_clinical_information(result: Result) -> str:
    """OBR-13 Relevant Clinical Information <- study.clinicalIndication, where it fits; OBR-31 has it in any case.

    HL7 v2.5.1 §7.4.1.13. ST and CE know no line break: lines are joined by a blank.
    """
    text = result.once(clinical_indication)
    if text and not is_one_line(result.study.clinical_indication or ""):
        result.note("lines-joined", "information", "/clinicalIndication", "one line in OBR-13 and OBR-31")
    return text if len(text) <= LENGTHS["OBR"][13] else ""


def obr_21_filler_field_2(result: Result) -> str:
    """OBR-21 Filler Field 2 <- the reportId that caused the message, in 22 characters.

    HL7 v2.5.1 §7.4.1.21.
    """
    return short_id(result.cause.report_id)


def obr_22_results_rpt_status_chng_date_time(result: Result) -> str:
    """OBR-22 Results Rpt/Status Chng - Date/Time <- the newest signedAt of the reports restated (D19).

    HL7 v2.5.1 §7.4.1.22.
    """
    signings = [signing for report in result.subject.reports if (signing := result.signed_at(report))]
    return max(signings)[1] if signings else ""


def obr_24_diagnostic_serv_sect_id(result: Result) -> str:
    """OBR-24 Diagnostic Serv Sect ID <- study.modality, table 0074; `RAD` where the modality is not known.

    HL7 v2.5.1 §7.4.1.24.
    """
    result.issues.extend(modality_issues(result.study))
    return diagnostic_service_section(result.study.modality)


def obr_25_result_status(result: Result) -> str:
    """OBR-25 Result Status <- report.status, table 0123 (mappings/status.py): F, or C once anything was sent.

    HL7 v2.5.1 §7.4.1.25.
    """
    return result.status.obr_25 or ""


def obr_27_quantity_timing(result: Result) -> str:
    """OBR-27 Quantity/Timing <- study.severity as TQ.6, for receivers that read no TQ1.

    HL7 v2.5.1 §7.4.1.27.
    """
    return components("", "", "", "", "", obr_5_priority(result))


def obr_31_reason_for_study(result: Result) -> str:
    """OBR-31 Reason for Study <- study.clinicalIndication, as text.

    HL7 v2.5.1 §7.4.1.31.
    """
    reason = components("", result.once(clinical_indication))
    return result.fit("OBR", 31, reason, "/clinicalIndication")


def obr_32_principal_result_interpreter(result: Result) -> str:
    """OBR-32 Principal Result Interpreter <- the User behind the newest original's userId, never assignedTo (D24).

    HL7 v2.5.1 §7.4.1.32: NDL, whose first component is a CNN of sub-components.
    """
    signer = result.signer(result.lead)
    return result.fit("OBR", 32, signer.cnn, signer.user.pointer) if signer else ""


OBR: Final[Table[Result]] = {
    1: "1",
    3: lambda result: result.once(filler_order_number),
    4: lambda result: result.once(obr_4_universal_service_identifier),
    5: obr_5_priority,
    7: obr_7_observation_date_time,
    13: obr_13_relevant_clinical_information,
    16: lambda result: result.once(ordering_provider),
    18: lambda result: result.fit("OBR", 18, value(result.order.accession_number), result.order.pointer),
    21: obr_21_filler_field_2,
    22: obr_22_results_rpt_status_chng_date_time,
    24: obr_24_diagnostic_serv_sect_id,
    25: obr_25_result_status,
    27: obr_27_quantity_timing,
    31: obr_31_reason_for_study,
    32: obr_32_principal_result_interpreter,
    44: lambda result: result.once(obr_4_universal_service_identifier),
}
