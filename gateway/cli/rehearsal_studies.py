"""Invent the studies of a rehearsal: a script of steps, from a first final report to a report of the wrong patient.

AutoScribe REST API: Study, Report, User; decisions D13, D17, D21, D22. Names, numbers and texts say REHEARSAL, unless
the operator names patients and orders of the receiver's test system. The first line of each text is found in no other.
Proved by tests/gateway/cli/test_rehearse.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.feed.operator.arguments import wrong
from gateway.feed.operator.rehearsal import Script, ScriptStep
from gateway.routing import Destination
from gateway.sandbox.people import npi
from gateway.sandbox.reports_api import render
from gateway.sandbox.seed_study import instant, listed, new_report, signed
from mappings import decode
from mappings.model import AnsweredOrder, PdfFacts, StatedNumber
from mappings.patient.identifiers import base62, long_id
from mappings.profile import AssigningAuthority, Site

Json = dict[str, Any]
Rows = tuple[Mapping[str, str], ...]
_KEYS: Final = {"patients": {"number", "name", "birth_date", "sex"}, "orders": {"accession", "placer"}}
_COUNTS: Final = {"patients": 2, "orders": 5}
_REMEDY: Final = "Write it as docs/site.md shows."
_ITS_OWN: Final = AssigningAuthority("", "REHEARSAL")
_LONG: Final = "This sentence stands in one line with others and says nothing about anybody. " * 6
_NOT_ASCII: Final = "Größe 12 µm ± 3 %, Señora Núñez, naïve café, 胸部, Ω ≥ 5, | ^ ~ \\ & \u2013 “quoted”."


@dataclass(frozen=True, slots=True)
class TestSystem:
    """Two patients and five orders of the receiver's test system, in the order in which the script uses them."""

    patients: Rows
    orders: Rows


def run_of(now: datetime) -> str:
    """Return the six characters that name the run of a rehearsal: its second, in base 62."""
    return base62(int(now.timestamp()), 6)


def invented_system(run: str) -> TestSystem:
    """Return patients and orders that no EHR has."""
    people = (("1", "Paula", "1950-01-02", "female"), ("2", "Roland", "1961-03-04", "male"))
    return TestSystem(
        tuple(
            {"number": f"REHEARSAL-{number}", "name": f"Rehearsal, {given}", "birth_date": born, "sex": sex}
            for number, given, born, sex in people
        ),
        tuple({"accession": f"REHEARSAL{run}{number}", "placer": f"REHEARSALP{run}{number}"} for number in range(1, 6)),
    )


def read_test_system(path: Path) -> TestSystem:
    """Read the patients and orders of the receiver's test system from a TOML file.

    Raises:
        ConfigError: the file cannot be read, or is not as it must be; no value of it is shown.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise wrong("--patients", f"a file that cannot be read ({type(error).__name__})", _REMEDY) from None
    return TestSystem(*(_rows(table, kind) for kind in _KEYS))


def _rows(table: Mapping[str, Any], kind: str) -> Rows:
    rows, keys = table.get(kind), _KEYS[kind]
    is_list = isinstance(rows, list) and len(rows) == _COUNTS[kind]
    if not is_list or not all(isinstance(row, dict) and row.keys() == keys for row in rows or ()):
        raise wrong("--patients", f"not {_COUNTS[kind]} {kind}, each with {', '.join(sorted(keys))}", _REMEDY)
    return tuple({key: str(value) for key, value in row.items()} for row in rows or ())


def rehearsal_script(run: str, now: datetime, system: TestSystem, site: Site, destination: Destination) -> Script:
    """Return the script of a rehearsal at a destination."""
    return Script(run, now, tuple(_Writer(run, now, system, site, destination).steps()))


class _Invented(NamedTuple):
    """Study as AutoScribe gives it, its reports, and the orders that it answers."""

    study: Json
    reports: tuple[Json, ...]
    orders: tuple[AnsweredOrder, ...]


class _Writer:
    """The invented studies A to D, and the events of their lives."""

    def __init__(self, run: str, now: datetime, system: TestSystem, site: Site, destination: Destination) -> None:
        self._run, self._system, self._site = run, system, site
        self._begun, self._steps = now - timedelta(hours=2), 0
        self._has_drafts = site.send_drafts and destination.receiver.send_drafts == "on"
        known = [one for one in destination.facilities(site) if one.mrn] or destination.facilities(site)
        self._facility = known[0] if known else site.default_facility
        modalities = sorted(destination.filter.scope.modalities or ())
        self._modality = modalities[0].upper() if modalities else "CT"
        self._user = {
            "userId": long_id("usr", f"0REHEARSAL{run}000000"),
            "firstName": "Rita",
            "lastName": "Rehearsal",
            "suffix1": "MD",
            "npiNumber": npi(123_456_789),
            "email": "rehearsal@example.org",
            "clinicRole": "Radiologist",
            "level": "member",
            "invitedSource": "dashboard",
            "createdAt": instant(self._begun),
        } | dict.fromkeys(("canCreateReports", "canManageStudies", "hasDashboardAccess"), True)

    def steps(self) -> Iterator[ScriptStep]:
        """Yield the steps; each begins where the one before of its study ended."""
        if self._has_drafts:
            draft = self._signed(self._study(5, 1, (1,)), "E1", _FINDINGS, status="in_progress", signedAt=None)
            yield self._step("A preliminary report", draft)
        first = self._signed(self._study(1, 0, (0,)), "A1", _FINDINGS)
        yield self._step("A final report", first)
        first = self._signed(first, "A2", "Prior images were reviewed. There is no change.", isAddendum=True)
        yield self._step("A first addendum to it", first)
        first = self._signed(first, "A3", "The result was told to the referring service.", isAddendum=True)
        yield self._step("A second addendum to it", first)
        first = self._changed(first, reportPlainText=self._text("A4", _FINDINGS.replace("No acute", "No other acute")))
        yield self._step("The text of the report was corrected after it was signed", first)
        second = self._signed(self._study(2, 1, (1,)), "B1", f"{_NOT_ASCII}\n{_LONG}\n\n{_FINDINGS}", isCritical=True)
        yield self._step("A critical report of another patient, with long lines and characters beyond ASCII", second)
        yield self._step("It is critical no more", self._changed(second, isCritical=False))
        third = self._signed(self._study(3, 0, (2, 3)), "C1", _FINDINGS)
        yield self._step(
            "A report of two orders; its PDF goes along if the profile asks for it",
            third,
            has_pdf=True,
        )
        cancelled = {**third.study, "isCancelled": True, "cancelledAt": self._at(), "updatedAt": self._at()}
        yield self._step("It is withdrawn", third._replace(study=cancelled), has_pdf=True)
        fourth = self._signed(self._study(4, 0, (4,)), "D1", _FINDINGS)
        yield self._step("A report of the first patient", fourth)
        about = {"snapshotMetadata": self._snapshot(1)}
        moved = self._changed(fourth._replace(study={**fourth.study, "reportMetadata": self._snapshot(1)}), **about)
        yield self._step("It was of the second patient: withdrawn there, then sent here", moved)

    def _at(self, minutes: int = 0) -> str:
        """Write the time of the present step."""
        return instant(self._begun + timedelta(minutes=10 * self._steps + minutes))

    def _snapshot(self, patient: int) -> Json:
        person, zone = self._system.patients[patient], self._facility.time_zone if self._facility else None
        taken = self._begun.astimezone(zone)
        return {
            "dateOfBirth": person["birth_date"],
            "mrn": person["number"],
            "patientName": person["name"],
            "sex": person["sex"],
            "procedure": f"{self._modality} CHEST REHEARSAL",
            "referringPhysicianName": "Rehearsal, Ruth",
            "studyDate": taken.date().isoformat(),
            "studyTime": taken.strftime("%H:%M"),
            "height": {"unit": "cm", "value": 170},
            "weight": {"unit": "kg", "value": 70},
        } | ({"facilityName": self._facility.name} if self._facility else {})

    def _study(self, number: int, patient: int, orders: tuple[int, ...]) -> _Invented:
        """Return a study without a report."""
        study_id = long_id("stu", f"0REHEARSAL{self._run}{number:06d}")
        exams = dict.fromkeys(self._site.vista.exam_keys, f"7048982.8462-{number}")
        cases = dict.fromkeys(self._site.vista.case_keys, f"010126-{number}")
        study = {
            "studyId": study_id,
            "studyInstanceUid": f"2.25.{int(study_id[4:], 16)}",
            "studyDescription": f"{self._modality} chest, rehearsal",
            "severity": "normal",
            "studyReportStatus": "completed",
            "isCancelled": False,
            "createdAt": self._at(),
            "updatedAt": self._at(),
            "cancelledAt": None,
            "reportMetadata": self._snapshot(patient),
            "modality": self._modality,
            "clinicalIndication": "Rehearsal of an interface.",
            "technologistNotes": ["Rehearsal: nobody was examined."],
            "metadata": exams | cases,
            "studyType": "standard",
        }
        return _Invented(study, (), tuple(self._order(one) for one in orders))

    def _order(self, number: int) -> AnsweredOrder:
        row, kinds = self._system.orders[number], ("placer", "accession")
        issuers = {kind: self._site.order_authority(kind, self._facility) or _ITS_OWN for kind in kinds}  # type: ignore[arg-type]
        stated = {
            kind: StatedNumber(row[kind], issuers[kind].namespace, issuers[kind].system) if row[kind] else None
            for kind in kinds
        }
        return AnsweredOrder(number + 1, placer=stated["placer"], accession=stated["accession"])

    def _signed(self, invented: _Invented, mark: str, text: str, **values: Any) -> _Invented:
        """Return the study with one more report, signed in the present step."""
        study = invented.study
        report_id = long_id("rep", f"0REHEARSAL{self._run}{mark:0>6}")
        at = self._begun + timedelta(minutes=10 * self._steps)
        about = report_id, study["studyId"], str(self._user["userId"]), study["reportMetadata"], at
        done = signed(new_report(*about), self._text(mark, text), False, at + timedelta(minutes=5)) | values
        return invented._replace(study={**study, "updatedAt": self._at(5)}, reports=(*invented.reports, done))

    def _text(self, mark: str, text: str) -> str:
        return f"REHEARSAL {self._run} TEXT {mark}\n{text}"

    def _changed(self, invented: _Invented, **values: Any) -> _Invented:
        """Return the study with other values of its first report, since the present step."""
        first, *others = invented.reports
        changed = ({**first, **values, "updatedAt": self._at(5)}, *others)
        return invented._replace(study={**invented.study, "updatedAt": self._at(5)}, reports=changed)

    def _step(self, title: str, invented: _Invented, *, has_pdf: bool = False) -> ScriptStep:
        self._steps += 1
        study, reports, orders = invented
        read = decode({**study, "reportIds": listed(reports)}, list(reports), [self._user])
        pdf = {one["reportId"]: _pdf(one["reportPlainText"]) for one in reports if has_pdf}
        return ScriptStep(title, read, orders, pdf, is_withdrawn=study["isCancelled"])


_FINDINGS: Final = (
    "FINDINGS:\nThe lungs are clear.\n\nNo effusion; heart size is normal.\n\n"
    "IMPRESSION:\n1. No acute abnormality.\n2. This is a rehearsal."
)


def _pdf(text: str) -> PdfFacts:
    data = render("REHEARSAL", text)
    return PdfFacts(len(data), sha1(data, usedforsecurity=False).digest(), data)
