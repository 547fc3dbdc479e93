"""Losses of a study that is read back from FHIR."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Final

from fakes.read_back.fhir import NOTHING
from fakes.read_back.telling import Told, each_report, each_snapshot
from fakes.read_back.values import moment, with_text, written

from mappings.codes import MODALITY_ORDER
from mappings.model import Report, Snapshot, Study, User
from mappings.values.dates import parse_date
from mappings.values.procedures import modality_parts

# DICOM PS3.16 CID 29 <- other spellings in use by AutoScribe's users
_SPELLINGS: Final = {
    **{"XR": "DX", "X-RAY": "DX", "XRAY": "DX", "MAMMOGRAPHY": "MG"},
    **{"MRI": "MR", "PET": "PT", "ULTRASOUND": "US"},
}
_CODES: Final = frozenset(("CR", "CT", "DX", "RF", "XA", "MG", "MR", "NM", "PT", "US"))
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SEXES: Final = ("male", "female", "other")


def dicom_codes(modality: str | None) -> list[str]:
    """DICOM code of each modality in a text, the one that names the service first, then the unknown ones."""
    codes = {part: _SPELLINGS.get(part.upper(), part.upper()) for part in modality_parts(modality)}
    unknown = [part for part, code in codes.items() if code not in _CODES]
    return [*sorted({one for one in codes.values() if one in _CODES}, key=MODALITY_ORDER.index), *unknown]


def external(study: Study, told: Told) -> Study:
    """Lose an external study (D25)."""
    return NOTHING if told.study.study_type == "external" else study


def metadata_of_reports(study: Study, told: Told) -> Study:
    """Lose reportMetadata, if there are reports."""
    return replace(study, metadata_snapshot=None) if study.reports else study


def metadata_alone(study: Study, told: Told) -> Study:
    """Lose fields that only a report's resources hold, if there is no report."""
    snapshot = study.metadata_snapshot
    if snapshot is None:
        return study
    nothing = dict.fromkeys(("age", "height", "weight", "study_date", "study_time"))
    left = replace(snapshot, **nothing)
    return replace(study, metadata_snapshot=left if left != Snapshot() else None)


def not_cancelled(study: Study, told: Told) -> Study:
    """Lose `isCancelled` unless it is true."""
    return study if study.is_cancelled else replace(study, is_cancelled=None)


def cancelled_after_sign(study: Study, told: Told) -> Study:
    """Lose a cancellation after the signature, if the site holds it back (D21)."""
    is_held = told.site.on_cancelled_after_sign == "hold" and study.completed
    return replace(study, is_cancelled=None) if is_held else study


def drafts(study: Study, told: Told) -> Study:
    """Lose the text of unsigned reports (D16)."""

    def change(report: Report) -> Report:
        return report if report.is_completed or _is_shown(told, report) else with_text(report, None)

    return each_report(study, change)


def _is_shown(told: Told, report: Report) -> bool:
    is_withdrawn = told.site.on_cancelled_after_sign == "withdraw"
    is_called_off = told.study.is_cancelled and (is_withdrawn or not told.study.completed)
    is_draft = report.status == "in_progress" and bool((report.text or "").strip())
    return told.site.send_drafts and is_draft and not is_called_off


def critical_drafts(study: Study, told: Told) -> Study:
    """Lose the critical flag of drafts (D16)."""
    return each_report(
        study,
        lambda report: replace(report, is_critical=None) if report.is_critical and not report.is_completed else report,
    )


def signatures_of_drafts(study: Study, told: Told) -> Study:
    """Lose the time of signing of unsigned reports."""
    return each_report(study, lambda report: report if report.is_completed else replace(report, signed_at=None))


def surrogates(study: Study, told: Told) -> Study:
    """Lose lone surrogates, which UTF-8 lacks."""

    def change(report: Report) -> Report:
        return with_text(report, report.text and _SURROGATE.sub("\ufffd", report.text))

    return each_report(study, change)


def empty_texts(study: Study, told: Told) -> Study:
    """Lose a text of no characters."""
    return each_report(study, lambda report: with_text(report, report.text or None))


def moments(study: Study, told: Told) -> Study:
    """Change moments to FHIR instants, to the microsecond; other texts stay."""

    def change(report: Report) -> Report:
        was = told.original(report)
        return replace(
            report,
            created_at=_written(was.created_at) or report.created_at,
            signed_at=report.signed_at and (_written(was.signed_at) or report.signed_at),
            updated_at=_written(was.updated_at) or report.updated_at,
        )

    return each_report(study, change)


def _written(text: str | None) -> str | None:
    when: datetime | None = moment(text)
    return written(when) if when else None


def updates(study: Study, told: Told) -> Study:
    """Fill updatedAt as Provenance.recorded, which is required, does: by signedAt, else createdAt."""

    def change(report: Report) -> Report:
        if report.updated_at:
            return report
        was = told.original(report)
        signed = _written(was.signed_at) if was.is_completed else None
        return replace(report, updated_at=signed or _written(was.created_at))

    return each_report(study, change)


def study_times(study: Study, told: Told) -> Study:
    """Change studyTime to the form that FHIR has with the date."""
    return each_snapshot(study, lambda report, own: replace(own, study_time=told.clock(report) or own.study_time))


def undated_measurements(study: Study, told: Told) -> Study:
    """Lose height and weight without a study date (D24)."""
    return each_snapshot(
        study, lambda report, own: own if told.is_dated(report) else replace(own, height=None, weight=None)
    )


def repeated_measurements(study: Study, told: Told) -> Study:
    """Lose an addendum's repetition of its original's height and weight (D24)."""

    def change(report: Report, own: Snapshot) -> Snapshot:
        said = told.original(report).snapshot
        others = [
            one.snapshot
            for one in told.subject(report).reports
            if not one.is_addendum and one.snapshot.study_date == said.study_date
        ]
        if not report.is_addendum:
            return own
        return replace(
            own,
            height=None if said.height in [one.height for one in others] else own.height,
            weight=None if said.weight in [one.weight for one in others] else own.weight,
        )

    return each_snapshot(study, change)


def mrn_spellings(study: Study, told: Told) -> Study:
    """Read the first MRN of a patient for all of its reports: nothing says which report wrote which (D12)."""
    return each_snapshot(study, lambda report, own: replace(own, mrn=own.mrn and (_mrn(told, report) or own.mrn)))


def _mrn(told: Told, report: Report) -> str | None:
    """First MRN in the Patient of a report."""
    identity = told.subject(report).identity
    mrns = [one.value for one in identity.identifiers if one.type == "MR"]
    return next(filter(None, (told.clean(one.value) for one in identity.shown if one.value in mrns)), None)


def said_by_others(study: Study, told: Told) -> Study:
    """Fill values that a snapshot lacks and another report about the patient or study has."""

    def change(report: Report, own: Snapshot) -> Snapshot:
        subject = told.subject(report)
        shown, spoken = subject.snapshot, told.subject().snapshot
        sex = shown.sex if shown.sex in _SEXES else told.clean(shown.sex or "")
        return replace(
            own,
            date_of_birth=own.date_of_birth or parse_date(shown.date_of_birth),
            mrn=own.mrn or _mrn(told, report),
            referring_physician_name=own.referring_physician_name
            or told.clean(spoken.referring_physician_name or "")
            or None,
            sex=own.sex or sex or None,
        )

    return each_snapshot(study, change)


def modality(study: Study, told: Told) -> Study:
    """Change a modality to its DICOM code; several become a list."""
    return replace(study, modality="\\".join(dicom_codes(study.modality)) or None)


def users_without_last_name(study: Study, told: Told) -> Study:
    """Lose users without a last name, who have no Practitioner."""
    return replace(study, users={key: user for key, user in study.users.items() if user.last_name})


def name_parts_in_order(study: Study, told: Told) -> Study:
    """Move up given names and suffixes, which are lists: a second one alone becomes the first."""

    def change(user: User) -> User:
        first, middle, *_ = (*filter(None, (user.first_name, user.middle_name)), None, None)
        suffix1, suffix2, *_ = (*filter(None, (user.suffix1, user.suffix2)), None, None)
        return replace(user, first_name=first, middle_name=middle, suffix1=suffix1, suffix2=suffix2)

    return replace(study, users={key: change(user) for key, user in study.users.items()})
