"""Generate one synthetic study with its reports, in any state that a study can have.

AutoScribe REST API: the keys of Study, Report and StudyReportMetadata.
Proved by tests/gateway/sandbox/test_seed.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.sandbox import people, texts
from gateway.sandbox.dice import Dice
from gateway.sandbox.oddities import applied
from gateway.sandbox.procedures import PROCEDURES, Procedure

Json = dict[str, Any]

API_KEY_DESCRIPTION: Final = "Sandbox integration"

# The state of study n is KINDS[n % 20]
KINDS: Final = (
    "signed", "signed", "signed_with_addendum", "unassigned", "signed", "in_progress", "signed", "two_originals",
    "addendum_active", "signed", "cancelled", "signed", "external", "signed_with_two_addenda", "assigned", "signed",
    "cancelled_after_sign", "signed", "signed_with_addendum", "signed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeededStudy:
    """A study, its reports as `GET /reports` lists them, and its hidden data.

    `dictated` maps each unsigned report to its final text and criticality. `archived` are the reports of an external
    study, which AutoScribe may or may not show.
    """

    study: Json
    reports: tuple[Json, ...]
    dictated: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    archived: tuple[Json, ...] = ()


def instant(moment: datetime) -> str:
    """Format a date-time as AutoScribe does: ISO 8601 in UTC with `Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def new_report(report_id: str, study_id: str, user_id: str, snapshot: Json, at: datetime, **values: Any) -> Json:
    """Build an unsigned Report created at this moment; `values` add or override keys."""
    return {
        "reportId": report_id,
        "studyId": study_id,
        "userId": user_id,
        "status": "in_progress",
        "isAddendum": False,
        "isCritical": None,
        "createdAt": instant(at),
        "signedAt": None,
        "updatedAt": instant(at),
        "snapshotMetadata": snapshot,
        **values,
    }


def signed(report: Json, text: str, is_critical: bool, at: datetime) -> Json:
    """Return the report as signed at this moment with this text."""
    return {
        **report,
        "status": "completed",
        "isCritical": is_critical,
        "signedAt": instant(at),
        "updatedAt": instant(at),
        "reportPlainText": text,
    }


def listed(reports: Sequence[Json]) -> list[Json]:
    """Build `Study.reportIds` for these reports."""
    return [{key: report[key] for key in ("reportId", "status", "isCritical")} for report in reports]


def user_reference(user: Json) -> Json:
    """Convert a User to a UserReference."""
    keys = ("email", "userId", "firstName", "middleName", "lastName", "suffix1", "suffix2")
    return {key: user[key] for key in keys if key in user}


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """Plan of a study: number, time of creation, state (one of `KINDS`), and oddity (one of `ODDITIES`), if any."""

    number: int
    created: datetime
    kind: str = "signed"
    oddity: str | None = None


def seeded_study(seed: int, users: Sequence[Json], plan: StudyPlan) -> SeededStudy:
    """Generate the study of a plan; it depends only on the seed and the plan."""
    dice = Dice(seed, "study", plan.number)
    patient = _patient(seed, plan.number)
    fitting = [one for one in PROCEDURES if one.patient_sex in {None, patient["sex"]}]
    procedure = dice.pick(fitting)
    written = texts.write(procedure, dice.pick(procedure.cases), dice)
    signer = dice.pick([user for user in users if user["canCreateReports"]])
    snapshot = applied(plan.oddity, "snapshot", _snapshot(patient, written.procedure, plan.created, dice))
    study = _study(dice, procedure, written, snapshot, plan.created) | _origin(dice, users)
    study["externalPatientId"] = patient["externalPatientId"]
    history = _History(study, snapshot, signer, written, plan.created, plan.oddity, dice)
    return _finished(plan.kind, history)


@dataclass(frozen=True, slots=True)
class _History:
    study: Json
    snapshot: Json
    signer: Json
    written: texts.WrittenText
    created: datetime
    oddity: str | None
    dice: Dice

    def draft(self, after: int, **values: Any) -> Json:
        ids = f"rep_{self.dice.hex32()}", self.study["studyId"], self.signer["userId"]
        return new_report(*ids, self.snapshot, self.created + timedelta(minutes=after), **values)

    def original(self, after: int = 12) -> Json:
        at = self.created + timedelta(minutes=after + self.dice.integer(3, 200))
        report = signed(self.draft(after), self.written.text, self.written.is_critical, at)
        return applied(self.oddity, "report", report)

    def addendum(self, hours: int) -> Json:
        at = self.created + timedelta(hours=hours, minutes=self.dice.integer(1, 50))
        return signed(self.draft(hours * 60, isAddendum=True), self.dice.pick(texts.ADDENDA), False, at)


def _finished(kind: str, history: _History) -> SeededStudy:
    reports, status, dictated = _REPORTS[kind](history)
    study = applied(history.oddity, "study", {**history.study, "studyReportStatus": status})
    last = max((report["updatedAt"] for report in reports), default=study["createdAt"])
    study["updatedAt"] = max(last, study["createdAt"])
    if status != "unassigned":
        study["assignedTo"] = user_reference(history.signer)
    if kind == "external":
        study |= {"studyType": "external", "externalReportId": f"ext_{history.dice.hex32()}", "assignedTo": None}
        return SeededStudy(study, (), {}, tuple(reports))
    if reports:
        study["reportIds"] = listed(reports)
        critical = reports[0]["isCritical"]
        study |= {"isCritical": critical} if critical is not None else {}
    if kind.startswith("cancelled"):
        study |= {"isCancelled": True, "cancelledAt": study["updatedAt"]}
    return SeededStudy(study, tuple(reports), dictated)


_Outcome = tuple[list[Json], str, dict[str, tuple[str, bool]]]


def _signed(history: _History) -> _Outcome:
    return [history.original()], "completed", {}


def _with_addendum(history: _History) -> _Outcome:
    return [history.original(), history.addendum(6)], "completed", {}


def _with_two_addenda(history: _History) -> _Outcome:
    return [history.original(), history.addendum(6), history.addendum(30)], "completed", {}


def _two_originals(history: _History) -> _Outcome:
    return [history.original(), history.original(after=240)], "completed", {}


def _addendum_active(history: _History) -> _Outcome:
    draft = history.draft(after=400, isAddendum=True, reportPlainText="")
    dictated = {draft["reportId"]: (history.dice.pick(texts.ADDENDA), False)}
    return [history.original(), draft], "addendum_active", dictated


def _in_progress(history: _History) -> _Outcome:
    text = history.written.text
    draft = history.draft(after=12, reportPlainText=text[: len(text) * 2 // 3])
    return [draft], "in_progress", {draft["reportId"]: (text, history.written.is_critical)}


def _assigned(_: _History) -> _Outcome:
    return [], "assigned", {}


def _unassigned(_: _History) -> _Outcome:
    return [], "unassigned", {}


_REPORTS: Final = {
    "signed": _signed,
    "signed_with_addendum": _with_addendum,
    "signed_with_two_addenda": _with_two_addenda,
    "two_originals": _two_originals,
    "addendum_active": _addendum_active,
    "in_progress": _in_progress,
    "assigned": _assigned,
    "unassigned": _unassigned,
    "cancelled": _unassigned,
    "cancelled_after_sign": _signed,
    "external": _signed,
}


def _patient(seed: int, number: int) -> Json:
    """Generate the patient of a study; studies n and n + 2 share one if n is a multiple of three."""
    person = number - 2 if number % 3 == 2 else number
    dice = Dice(seed, "patient", person)
    sex = dice.pick(("female", "male", "female", "male", "other"))
    given, family = dice.pick(people.GIVEN_NAMES[sex]), dice.pick(people.FAMILY_NAMES)
    middle = dice.pick(("", "", " Q.", " Lee"))
    facility = dice.pick([place for place in people.FACILITIES if place.is_known])
    spelled = {
        "given_family": f"{given}{middle} {family}",
        "family_given": f"{family} {given}{middle}",
        "marked_only": dice.pick((f"{family}, {given}{middle}", f"{family.upper()}^{given.upper()}")),
    }[facility.name_order]
    born = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")) - timedelta(days=dice.integer(400, 33_000))
    return {
        "sex": sex,
        "name": spelled,
        "facility": facility,
        "born": born.date(),
        "mrn": f"{facility.mrn_namespace}-{dice.integer(10, 99)}{person:06d}",
        "externalPatientId": f"PAT-{dice.integer(1000, 9999)}-{person}" if dice.chance(0.5) else None,
        "height": {"unit": "cm", "value": dice.integer(150, 198)} if dice.chance(0.7) else None,
        "weight": {"unit": "kg", "value": dice.integer(420, 1200) / 10} if dice.chance(0.7) else None,
    }


def _snapshot(patient: Json, procedure: str, created: datetime, dice: Dice) -> Json:
    facility: people.SandboxFacility = patient["facility"]
    taken = (created - timedelta(minutes=dice.integer(15, 90))).astimezone(ZoneInfo(facility.time_zone))
    snapshot = {
        "age": f"{(taken.date() - patient['born']).days // 365.25:.0f} years",
        "dateOfBirth": patient["born"].isoformat(),
        "facilityName": facility.name,
        "height": patient["height"],
        "mrn": patient["mrn"],
        "patientName": patient["name"],
        "procedure": procedure,
        "referringPhysicianName": dice.pick(people.REFERRERS),
        "sex": patient["sex"],
        "studyDate": taken.date().isoformat(),
        "studyTime": taken.strftime("%H:%M"),
        "weight": patient["weight"],
    }
    return {key: value for key, value in snapshot.items() if value is not None}


def _study(dice: Dice, procedure: Procedure, written: texts.WrittenText, snapshot: Json, created: datetime) -> Json:
    return {
        "studyId": f"stu_{dice.hex32()}",
        "studyInstanceUid": f"2.25.{int(dice.hex32(), 16)}",
        "studyDescription": procedure.description,
        "severity": dice.pick(("normal", "normal", "normal", "normal", "high", "stat")),
        "studyReportStatus": "unassigned",
        "isCancelled": False,
        "createdAt": instant(created),
        "updatedAt": instant(created),
        "cancelledAt": None,
        "reportMetadata": snapshot,
        "modality": procedure.modality,
        "clinicalHistory": dice.pick((None, "Hypertension.", "Diabetes mellitus type 2; former smoker.")),
        "clinicalIndication": written.indication,
        "technologistTechnique": dice.pick((None, procedure.technique)),
        "technologistNotes": dice.pick(([], ["Patient tolerated the exam well."], ["Slight motion, repeated."])),
        "metadata": {"department": "radiology", "priority": "routine"},
        "studyType": "standard",
        "assignedTo": None,
    }


def _origin(dice: Dice, users: Sequence[Json]) -> Json:
    origin: Json = {}
    if dice.chance(0.6):
        origin["createdByApiKey"] = {"apiKeyId": dice.uuid4(), "description": API_KEY_DESCRIPTION}
    else:
        origin["createdByUser"] = user_reference(dice.pick([user for user in users if user["canManageStudies"]]))
    if dice.chance(0.2):
        name = dice.pick(people.EXPRESS_CUSTOMERS)
        ids = {"expressCustomerId": f"cus_{Dice(name).hex32()}", "expressCustomerName": name}
        origin["expressCustomer"] = ids
    if dice.chance(0.2):
        text = "IMPRESSION: No acute abnormality."
        origin["priorReports"] = [{"reportText": text, "modality": "CT", "studyDate": "2024-01-15"}]
    return origin
