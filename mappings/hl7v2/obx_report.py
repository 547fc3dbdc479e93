"""Write the OBX fields that all lines of one report share: status, time of the examination, and signer.

HL7 v2.5.1 §7.4.2.11, §7.4.2.14, §7.4.2.16, decisions D15, D16, D19, D21, D22.
"""

from __future__ import annotations

from mappings.hl7v2.result import Result
from mappings.model import Report
from mappings.study.newest_word import flags_shown, newest_first


def restated(result: Result) -> list[Report]:
    """Reports of a message in the order of its lines: addenda newest first, then originals (D19)."""
    return newest_first(result.reports)


def flags_on(result: Result, report: Report) -> list[Report]:
    """Critical reports whose flag the lines of a report have: its own, else those that it shows as an addendum (D22).

    None once they are withdrawn, nor for a draft; null and false assert nothing.
    """
    if result.status.diagnostic_report == "entered-in-error":
        return []
    if report.is_critical is True:
        return [report]
    return flags_shown(result.reports, result.peers).get(report.report_id, []) if report.is_addendum else []


def obx_11_observation_result_status(result: Result) -> str:
    """OBX-11 Observation Result Status <- report.status, table 0085 (mappings/life/status.py).

    HL7 v2.5.1 §7.4.2.11.
    """
    return result.status.obx_11 or ""


def obx_14_date_time_of_the_observation(result: Result, report: Report) -> str:
    """OBX-14 Date/Time of the Observation <- studyDate, studyTime ?? day of signedAt of the line's report (D15).

    HL7 v2.5.1 §7.4.2.14: the physiologically relevant time, as in DiagnosticReport.effective. With the receiver's
    `obx14` `signed` it is signedAt, or updatedAt of a draft.
    """
    if result.receiver.obx14 == "signed":
        signing = result.signed_at(report)
        return signing[1] if signing else ""
    return result.examined_at(report)


def obx_16_responsible_observer(result: Result, report: Report) -> str:
    """OBX-16 Responsible Observer <- the User with the userId of the line's report (D19).

    HL7 v2.5.1 §7.4.2.16.
    """
    signer = result.signer(report)
    return result.fit("OBX", 16, signer.xcn, signer.user.pointer) if signer else ""
