"""Losses of a study that is read back from one ORU^R01."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC
from typing import Final

from fakes.read_back.fhir_losses import dicom_codes
from fakes.read_back.telling import Told, each_report, each_snapshot
from fakes.read_back.values import moment, with_text, written

from mappings.model import Measurement, Report, Study, User
from mappings.patient.identifiers import is_npi, is_placeholder
from mappings.values.names import is_generation, parse_name
from mappings.values.text import normal_form

# HL7 table 0074 <- DICOM, if a section has several modalities; OBR-13 is ST of 300 characters
_SECTIONS: Final = {**dict.fromkeys(("CR", "DX", "MG", "RF", "XA"), "RX"), **dict.fromkeys(("NM", "PT"), "NMS")}
_KNOWN: Final = ("CT", "MR", "US", *_SECTIONS)
_LONGEST_OBR_13: Final = 300
_SEXES: Final = ("male", "female", "other")
_SEVERITIES: Final = ("normal", "high", "stat")


def ages(study: Study, told: Told) -> Study:
    """Lose the age in words."""
    return each_snapshot(study, lambda report, own: replace(own, age=None))


def drafts(study: Study, told: Told) -> Study:
    """Lose unsigned reports, which are not sent (D16)."""
    return replace(study, reports=study.completed)


def other_patients(study: Study, told: Told) -> Study:
    """Lose reports about other people, which have their own message (D12)."""
    here = {report.report_id for report in told.subject().reports}
    return replace(study, reports=tuple(report for report in study.reports if report.report_id in here))


def numbers_of_the_studys_patient(study: Study, told: Told) -> Study:
    """Lose the study's numbers, which belong to its own patient and that patient's orders (D12, D18)."""
    if told.subject().number == told.study.study_id:
        return study
    return replace(study, external_patient_id=None, metadata={})


def study_numbers(study: Study, told: Told) -> Study:
    """Change the study number of another patient's message to one made of its first report's id (D18)."""
    number = f"stu_{told.subject().number[4:]}"
    made = each_report(study, lambda report: replace(report, study_id=number))
    return replace(made, study_id=number)


def report_ids(study: Study, told: Told) -> Study:
    """Lose report ids if there are several: OBR-21 does not tell whose id it has."""
    return each_report(study, lambda report: replace(report, report_id="")) if len(study.reports) > 1 else study


def user_ids(study: Study, told: Told) -> Study:
    """Lose user ids: a signer is known by number and name."""
    keys = {user_id: _key(user) for user_id, user in study.users.items()}
    made = each_report(study, lambda report: replace(report, user_id=keys.get(report.user_id, "")))
    users = {keys[user_id]: replace(user, user_id=keys[user_id]) for user_id, user in study.users.items()}
    return replace(made, users={key: user for key, user in users.items() if key})


def _key(user: User) -> str:
    parts = user.npi_number, user.last_name, user.first_name, user.middle_name, user.suffix1, user.suffix2
    return "^".join(part or "" for part in parts).rstrip("^")


def suffixes(study: Study, told: Told) -> Study:
    """Separate suffixes of the name from degrees, each joined by a blank."""

    def change(user: User) -> User:
        parts = [one for one in (user.suffix1, user.suffix2) if one]
        own = " ".join(one for one in parts if is_generation(one))
        degrees = " ".join(one for one in parts if not is_generation(one))
        return replace(user, suffix1=own or None, suffix2=degrees or None)

    return replace(study, users={key: change(user) for key, user in study.users.items()})


def unverified_npis(study: Study, told: Told) -> Study:
    """Lose numbers that are not valid NPIs."""

    def change(user: User) -> User:
        return user if user.npi_number and is_npi(user.npi_number) else replace(user, npi_number=None)

    return replace(study, users={key: change(user) for key, user in study.users.items()})


def signatures(study: Study, told: Told) -> Study:
    """Change signedAt to whole seconds, of several reports to the minute; lose an invalid one."""
    whole = {"microsecond": 0} if len(study.reports) == 1 else {"second": 0, "microsecond": 0}

    def change(report: Report) -> Report:
        when = moment(told.original(report).signed_at)
        return replace(report, signed_at=written(when.astimezone(UTC).replace(**whole)) if when else None)

    return each_report(study, change)


def withdrawn_critical(study: Study, told: Told) -> Study:
    """Lose the critical flag of withdrawn reports (D21)."""
    if not (told.study.is_cancelled and told.site.on_cancelled_after_sign == "withdraw"):
        return study
    return each_report(study, lambda report: replace(report, is_critical=None) if report.is_critical else report)


def not_critical(study: Study, told: Told) -> Study:
    """Lose a false critical flag, which asserts nothing (D22)."""
    return each_report(study, lambda report: report if report.is_critical else replace(report, is_critical=None))


def texts_in_normal_form(study: Study, told: Told) -> Study:
    """Change texts to N(text)."""
    return each_report(study, lambda report: with_text(report, report.text and normal_form(report.text)))


def empty_texts(study: Study, told: Told) -> Study:
    """Lose a text of white space alone, which a notice replaces."""
    return each_report(study, lambda report: with_text(report, report.text if (report.text or "").strip() else None))


def blank_lines(study: Study, told: Told) -> Study:
    """Change a line of exactly one blank to an empty one."""
    return each_report(study, lambda report: _with_lines(report, {" ": ""}))


def nulls(study: Study, told: Told) -> Study:
    """Drop the blank after a line of two quotation marks, which alone would mean a deletion."""
    return each_report(study, lambda report: _with_lines(report, {'"" ': '""'}))


def _with_lines(report: Report, others: dict[str, str]) -> Report:
    if report.text is None:
        return report
    return with_text(report, "\n".join(others.get(line, line) for line in report.text.split("\n")))


def one_snapshot(study: Study, told: Told) -> Study:
    """Change all snapshots to one: patient and examination of the newest original, as in PID and OBR."""
    by_id = {report.report_id: report.snapshot for report in study.reports}
    examined, subject = by_id[told.lead.report_id], told.subject()
    speaker = next(one for one in subject.reports if one.snapshot_pointer == subject.pointer)
    patient = by_id[speaker.report_id]
    numbers = sorted((snapshot.mrn for snapshot in by_id.values() if snapshot.mrn), key=is_placeholder)
    merged = replace(
        examined,
        date_of_birth=patient.date_of_birth,
        mrn=next(iter(numbers), None),
        patient_name=patient.patient_name,
        sex=patient.sex,
    )
    return each_snapshot(study, lambda report, own: merged)


def placeholders(study: Study, told: Told) -> Study:
    """Lose placeholder numbers, which would join strangers (D11)."""
    number = study.external_patient_id
    made = each_snapshot(
        study, lambda report, own: replace(own, mrn=None) if own.mrn and is_placeholder(own.mrn) else own
    )
    return replace(made, external_patient_id=None) if number and is_placeholder(number) else made


def unknown_sex(study: Study, told: Told) -> Study:
    """Lose a sex code outside the table (`U`)."""
    said = told.subject().snapshot.sex
    return each_snapshot(study, lambda report, own: replace(own, sex=said if said in _SEXES else None))


def study_times(study: Study, told: Told) -> Study:
    """Keep studyTime only in a known zone, in whole seconds (D15)."""
    clock = told.clock(told.lead)
    return each_snapshot(study, lambda report, own: replace(own, study_time=clock))


def facilities(study: Study, told: Told) -> Study:
    """Change a facility's aliases to its name, if the site has a code for it."""
    known = told.site.facility(told.lead.snapshot.facility_name)
    if known is None or not known.code:
        return study
    return each_snapshot(study, lambda report, own: replace(own, facility_name=known.name))


def unplaced_words(study: Study, told: Told) -> Study:
    """Lose words of a split name that are neither family, given, title nor suffix."""
    patient, examined = told.subject().snapshot, told.lead.snapshot
    names = (patient.patient_name, patient.facility_name), (examined.referring_physician_name, examined.facility_name)
    patient_name, referrer = (_placed(told, *one) for one in names)
    return each_snapshot(
        study,
        lambda report, own: replace(
            own,
            patient_name=patient_name if own.patient_name else None,
            referring_physician_name=referrer if own.referring_physician_name else None,
        ),
    )


def _placed(told: Told, name: str | None, facility_name: str | None) -> str | None:
    """Return the name unchanged if every word has a part, else only the words with one."""
    facility = told.site.facility(facility_name)
    parsed = parse_name(name, facility.name_order if facility else None)
    if parsed is None or not (parsed.family or parsed.given):
        return told.clean(name or "")
    placed = " ".join((parsed.family, *parsed.given, *parsed.prefix, *parsed.suffix))
    whole, parts = told.clean(name or ""), told.clean(placed)
    return whole if _words(whole) == _words(parts) else parts


def words_of_names(study: Study, told: Told) -> Study:
    """Lose separators and order of a name's parts."""
    return each_snapshot(
        study,
        lambda report, own: replace(
            own,
            patient_name=_words(own.patient_name),
            referring_physician_name=_words(own.referring_physician_name),
        ),
    )


def _words(name: str | None) -> str | None:
    return " ".join(sorted(filter(None, re.split(r"[\s^,]+", name or "")))) or None


def numbers_of_ten_digits(study: Study, told: Told) -> Study:
    """Round height and weight to ten digits (NM)."""

    def short(one: Measurement | None) -> Measurement | None:
        return Measurement(one.unit, float(f"{one.value:.10g}")) if one else None

    return each_snapshot(study, lambda report, own: replace(own, height=short(own.height), weight=short(own.weight)))


def descriptions(study: Study, told: Told) -> Study:
    """Lose the study's description, which only replaces a missing procedure."""
    return replace(study, study_description=None)


def unknown_severity(study: Study, told: Told) -> Study:
    """Lose a severity outside the table."""
    return study if study.severity in _SEVERITIES else replace(study, severity=None)


def sections_of_modalities(study: Study, told: Told) -> Study:
    """Change modalities to sections of table 0074."""
    code = next(iter(dicom_codes(study.modality)), "")
    return replace(study, modality=_SECTIONS.get(code, code) if code in _KNOWN else None)


def history_as_indication(study: Study, told: Told) -> Study:
    """Move a history too long for OBR-13 to a missing indication; lose one equal to the indication."""
    history, indication = study.clinical_history, study.clinical_indication
    escapes = sum((history or "").count(one) for one in "|^~\\&")
    is_long = len(history or "") + 2 * escapes > _LONGEST_OBR_13
    if history and not indication and is_long:
        return replace(study, clinical_history=None, clinical_indication=history)
    return replace(study, clinical_history=None) if history == indication and not is_long else study
