"""Context of the read-back losses: the original study, and the patient of each report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from mappings.model import Cause, ExpressCustomer, Facts, Report, Snapshot, Study, User
from mappings.patient.subjects import Subject, subjects
from mappings.profile import Site
from mappings.values.dates import effective, parse_date
from mappings.values.text import normal_form

Language = Literal["fhir", "hl7v2"]
# Texts of a study and of a report, without ids, codes of the model and the report's own text
_STUDY_TEXTS: Final = (
    *("study_instance_uid", "study_description", "severity", "study_report_status", "external_patient_id", "modality"),
    *("clinical_history", "clinical_indication"),
)
_REPORT_TEXTS: Final = ("created_at", "signed_at", "updated_at")
_USER_TEXTS: Final = tuple(one.name for one in fields(User) if one.name not in ("user_id", "pointer"))
_SNAPSHOT_TEXTS: Final = tuple(one.name for one in fields(Snapshot) if one.name not in ("height", "weight"))


@dataclass(frozen=True, slots=True)
class Told:
    """Original study, its language, and for a message the `cause`."""

    language: Language
    study: Study
    site: Site
    facts: Facts
    cause: Cause | None = None

    def clean(self, text: str) -> str:
        """Return N(text) without outer white space; in HL7 v2 on one line."""
        return formatted(text if self.language == "fhir" else normal_form(text).replace("\n", " "))

    def original(self, report: Report) -> Report:
        """Return the original report."""
        return next(one for one in self.study.reports if one.report_id == report.report_id)

    def subject(self, report: Report | None = None) -> Subject:
        """Return the patient of a report; without one, of the study or of the message's cause."""
        told = self.study.reports if self.language == "fhir" else self.study.completed
        found = subjects(self.study, told, self.site, self.facts)
        if report is not None:
            return found[report.report_id]
        return found[self.cause.report_id if self.cause else self.study.study_id]

    @property
    def lead(self) -> Report:
        """Newest original of a message, whose examination it is."""
        told = self.subject().reports
        return next((one for one in reversed(told) if not one.is_addendum), told[-1])

    def is_dated(self, report: Report) -> bool:
        """True if the report's own studyDate is a whole existing day."""
        return len(parse_date(self.original(report).snapshot.study_date) or "") == len("YYYY-MM-DD")

    def day(self, report: Report) -> str | None:
        """Return the day that HL7 v2 says for a study date that is not known: FHIR says that there is none."""
        when, _ = effective(self.original(report), self.site)
        return when.day if when and self.language == "hl7v2" else None

    def clock(self, report: Report) -> str | None:
        """Return studyTime in the facility's zone if it is sent with the date; seconds only if not zero."""
        when, _ = effective(self.original(report), self.site)
        if when is None or when.moment is None or not self.is_dated(report):
            return None
        local = when.moment.replace(tzinfo=None).time()
        if self.language == "hl7v2":
            local = local.replace(microsecond=0)
        return local.isoformat().removesuffix(":00") if not local.microsecond else local.isoformat()


def formatted(text: str) -> str:
    """Return N(text) without outer white space, line breaks kept."""
    return normal_form(text).strip()


def each_report(study: Study, change: Callable[[Report], Report]) -> Study:
    """Change every report of the study."""
    return replace(study, reports=tuple(change(report) for report in study.reports))


def each_snapshot(study: Study, change: Callable[[Report, Snapshot], Snapshot]) -> Study:
    """Change the snapshot of every report."""
    return each_report(study, lambda report: replace(report, snapshot=change(report, report.snapshot)))


def each_text(study: Study, change: Callable[[str], str | None]) -> Study:
    """Change every short text of the study: neither ids nor texts of reports."""
    customer = study.express_customer
    if customer:
        name = change(customer.express_customer_name) or ""
        customer = ExpressCustomer(change(customer.express_customer_id) or "", name)
    snapshot = study.metadata_snapshot
    made = each_report(study, lambda report: _report(report, change))
    return replace(
        _texts(made, _STUDY_TEXTS, change),
        metadata_snapshot=_texts(snapshot, _SNAPSHOT_TEXTS, change) if snapshot else None,
        express_customer=customer,
        users={key: _texts(user, _USER_TEXTS, change) for key, user in study.users.items()},
    )


def _report(report: Report, change: Callable[[str], str | None]) -> Report:
    snapshot = _texts(report.snapshot, _SNAPSHOT_TEXTS, change)
    return replace(_texts(report, _REPORT_TEXTS, change), snapshot=snapshot, status=change(report.status) or "")


def _texts(one: Any, names: Sequence[str], change: Callable[[str], str | None]) -> Any:
    said = {name: value for name in names if (value := getattr(one, name)) is not None}
    changed = {name: change(value) for name, value in said.items()}
    return replace(one, **changed) if changed != said else one
