"""Random accounts of AutoScribe in memory, with the methods of the upstream client: studies that change over time.

Facilities share radiologists, and two of them share an authority, so that a patient may be known to both (D11).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from fakes.upstream_json import report_json, study_json, user_json

from gateway.runtime.errors import PdfUnavailable, UpstreamConflict, UpstreamNotFound, UpstreamUnreachable
from gateway.upstream.answers import Answer
from gateway.upstream.pdf_stream import PdfStream
from mappings.profile import parse_site

Json = dict[str, Any]
NORTH, SOUTH, EAST, WEST = "North Clinic", "South Clinic", "East Clinic", "Westside"
FACILITIES = (NORTH, SOUTH, EAST, WEST)
# A name as AutoScribe may write it: with another case, doubled blanks, or an alias
SPELLINGS = {
    NORTH: (NORTH, "NORTH  CLINIC", "NC"),
    SOUTH: (SOUTH, "south clinic"),
    EAST: (EAST, "East  Clinic"),
    WEST: (WEST,),
}
_FACILITY_OF = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}
# East has the numbers of North; Westside is not known to the site
SITE = parse_site(
    """
[[mapping.facilities]]
name = "North Clinic"
aliases = ["NC"]
time_zone = "America/New_York"
mrn_system = "urn:oid:1.2.1"
mrn_namespace = "NORTH"
[[mapping.facilities]]
name = "South Clinic"
time_zone = "America/Chicago"
mrn_system = "urn:oid:1.2.2"
mrn_namespace = "SOUTH"
[[mapping.facilities]]
name = "East Clinic"
time_zone = "America/New_York"
mrn_system = "urn:oid:1.2.1"
mrn_namespace = "NORTH"
""",
    site_key=b"a site key of the tests, 32 bytes or more",
)
PEOPLE = (
    ("Jane", "Doe", "1985-07-20", "female"),
    ("Robert", "Miller", "1950-03-09", "male"),
    ("Maria", "Gonzalez", "1971-02-14", "female"),
    ("William", "Okafor", "1962-11-05", "male"),
    ("Zoe", "Nguyen", "1990-06-08", "female"),
    ("Michael", "Kowalski", "1978-01-10", "male"),
)
STYLES = ("{given} {family}", "{family}, {given}", "{family}^{given}", "{given} {family}")
MODALITIES = ("CT", "MR", "US", "Fluoro")
PROCEDURES = ("MRI Brain with Contrast", "CT Chest W Contrast", "XR Ankle", "US Abdomen")
TEXTS = (
    "FINDINGS: Normal brain.\nIMPRESSION: Unremarkable.",
    "TECHNIQUE: Axial.\nFINDINGS: Nodule of 4 mm.\nIMPRESSION: Follow up.",
    "IMPRESSION: Fracture.",
    "No headings at all.",
    "",
)
UNCHECKED = "UNCHECKED"  # a report with this word in its text does not pass the check: it is suppressed


def made_id(prefix: str, *parts: Any) -> str:
    """Return an id as AutoScribe makes them, always the same of the same parts."""
    return f"{prefix}_{hashlib.md5(repr(parts).encode(), usedforsecurity=False).hexdigest()}"


@dataclass
class RandomStudy:
    """Study in its states over time; a state is a Study with its reports, None once it is gone.

    `facility` is the one that its newest state names.
    """

    study_id: str
    facility: str
    states: list[tuple[Json, list[Json]] | None] = field(default_factory=list)

    @property
    def facilities(self) -> set[str]:
        """Facilities of its reports, each as last seen, also of those that AutoScribe lists no more."""
        last = {one["reportId"]: one for state in self.states if state is not None for one in state[1]}
        return {_FACILITY_OF[one["snapshotMetadata"]["facilityName"]] for one in last.values()}


class RandomStudies:
    """Studies and users of a seed."""

    def __init__(self, dice: Random, number: int) -> None:
        self.dice = dice
        self.users = {one["userId"]: one for one in map(self._user, range(6))}
        self.unknown_user = made_id("usr", "unknown")
        self.studies = [self._study(place) for place in range(number)]
        # Each study once for each of its states; its states come in their order, among those of the others
        self.order = [one for one in self.studies for _ in one.states]
        dice.shuffle(self.order)

    def _user(self, place: int) -> Json:
        names = (
            ("Sarah", "Johnson"),
            ("Alex", "Smith"),
            ("Iris", "Roy"),
            ("Tom", "Lee"),
            ("Uma", "Rao"),
            ("Bo", "Fox"),
        )
        first, last = names[place]
        more = {"npiNumber": f"123456789{place}"} if place % 2 else {}
        return user_json(
            userId=made_id("usr", place), firstName=first, lastName=last, email=f"{last}@x.example", **more
        )

    def _reader(self, facility: str) -> str:
        """Return a radiologist: the first three read everywhere, each other one for one facility."""
        if self.dice.random() < 0.1:
            return self.unknown_user
        place = self.dice.choice((0, 1, 2, 3 + FACILITIES.index(facility) % 3))
        return made_id("usr", place)

    def _study(self, place: int) -> RandomStudy:
        dice = self.dice
        study = RandomStudy(made_id("stu", place), dice.choice(FACILITIES))
        person = dice.randrange(len(PEOPLE))
        day = f"2024-0{dice.randrange(1, 10)}-{dice.randrange(10, 28)}"
        snapshot = self._snapshot(study.facility, person, day)
        about = study_json(
            studyId=study.study_id,
            studyInstanceUid=f"1.2.840.{place + 1}",
            studyDescription=dice.choice(PROCEDURES),
            modality=dice.choice(MODALITIES),
            severity=dice.choice(("normal", "high", "stat")),
            reportMetadata=snapshot,
            metadata={"accession": f"ACC{place // 2}"} if dice.random() < 0.7 else {},
            createdAt=f"{day}T10:30:00Z",
            **({"clinicalHistory": "Headache"} if dice.random() < 0.5 else {}),
        )
        # Conflicts are about studies with reports alone: which patient a report is about, all studies decide (D12)
        most = dice.choice((1 if study.facility == SOUTH else 0, 1, 1, 1, 2))
        reports = [self._report(study, place, number, snapshot, day) for number in range(most)]
        study.states.append((about, reports))
        for number in range(dice.choice((0, 0, 1, 1, 2))):
            study.states.append(self._changed(study, place, number, day))
            if study.states[-1] is None:
                break
        return study

    def _snapshot(self, facility: str, person: int, day: str) -> Json:
        dice = self.dice
        mrn = f"MRN-00{person + 1}"
        if facility == SOUTH and dice.random() < 0.3:
            person = (person + 1) % len(PEOPLE)  # the number of one person, and all else of another: a conflict
        given, family, born, sex = PEOPLE[person]
        made = {
            "patientName": dice.choice(STYLES).format(given=given, family=family),
            "facilityName": dice.choice(SPELLINGS[facility]),
            "dateOfBirth": born,
            "sex": sex,
            "mrn": mrn if dice.random() < 0.9 else "UNKNOWN",
            "procedure": dice.choice(PROCEDURES),
            "studyDate": day,
            "studyTime": "14:30",
            "referringPhysicianName": "Dr. Michael Chen",
        }
        if dice.random() < 0.3:
            made |= {"height": {"unit": "cm", "value": 150 + person}, "weight": {"unit": "kg", "value": 60 + person}}
        if dice.random() < 0.2:
            made["studyDate"] = "yesterday"
        if dice.random() < 0.1:
            del made["dateOfBirth"]
        return made

    def _report(self, study: RandomStudy, place: int, number: int, snapshot: Json, day: str) -> Json:
        dice = self.dice
        is_signed = number == 0 and dice.random() < 0.8
        text = dice.choice(TEXTS) + (f" {UNCHECKED}" if dice.random() < 0.12 else "")
        return {
            **report_json(),
            "reportId": made_id("rep", place, number),
            "studyId": study.study_id,
            "userId": self._reader(study.facility),
            "status": "completed" if is_signed else "in_progress",
            "isAddendum": False,
            "isCritical": dice.choice((True, False, None)),
            "createdAt": f"{day}T14:30:00Z",
            "signedAt": f"{day}T16:0{number}:00Z" if is_signed else None,
            "updatedAt": f"{day}T16:0{number}:00Z",
            "snapshotMetadata": snapshot,
            "reportPlainText": text,
        }

    def _changed(self, study: RandomStudy, place: int, number: int, day: str) -> tuple[Json, list[Json]] | None:
        """Return the next state of a study."""
        was = study.states[-1]
        assert was is not None
        about, reports = was
        later = f"2024-10-1{number}T09:00:00Z"
        kinds = ("signed", "addendum", "corrected", "moved", "relocated", "relocated", "cancelled", "unlisted", "gone")
        match self.dice.choice(kinds):
            case "signed":
                signed = [{**one, "status": "completed", "signedAt": one["signedAt"] or later} for one in reports]
                return about, signed
            case "addendum" if any(one["status"] == "completed" for one in reports):
                more = self._report(study, place, 10 + number, reports[0]["snapshotMetadata"], day)
                own = {"status": "completed", "signedAt": later, "isAddendum": True}
                return about, [*reports, {**more, **own, "reportPlainText": "Addendum: seen again."}]
            case "corrected":
                return about, [{**one, "reportPlainText": f"IMPRESSION: Corrected {number}."} for one in reports]
            case "moved":
                other = self._snapshot(study.facility, self.dice.randrange(len(PEOPLE)), day)
                return {**about, "reportMetadata": other}, [{**one, "snapshotMetadata": other} for one in reports]
            case "relocated":
                study.facility = self.dice.choice([one for one in FACILITIES if one != study.facility])
                other = self._snapshot(study.facility, self.dice.randrange(len(PEOPLE)), day)
                return {**about, "reportMetadata": other}, [{**one, "snapshotMetadata": other} for one in reports]
            case "cancelled":
                return {**about, "isCancelled": True, "cancelledAt": later}, reports
            case "unlisted" if reports:
                return about, reports[1:]
            case "gone":
                return None
        return about, reports


class MemoryAutoScribe:
    """AutoScribe as the gateway asks it; it knows the studies of some facilities alone.

    `known` are the ids of its studies, `current` their states now. `is_down`: every request fails. `acts` are the ids
    of the reports to which an addendum was opened or cancelled. A study belongs to the facilities that its reports name
    in the end; one without reports belongs to none.
    """

    def __init__(self, studies: RandomStudies, facilities: frozenset[str]) -> None:
        is_whole = facilities == frozenset(FACILITIES)
        seen = [one for one in studies.studies if is_whole or (one.facilities and one.facilities <= facilities)]
        self.known = frozenset(one.study_id for one in seen)
        self.current: dict[str, tuple[Json, list[Json]] | None] = {}
        hidden = [one for one in studies.studies if one not in seen]
        readers = _readers(hidden) - _readers(seen)
        self.users = {user_id: one for user_id, one in studies.users.items() if user_id not in readers}
        self.is_down = False
        self.acts: list[str] = []

    async def study(self, study_id: str) -> Answer:
        return Answer(self._state(study_id)[0])

    async def study_by_uid(self, study_instance_uid: str) -> Answer:
        self._check()
        for state in self.current.values():
            if state is not None and state[0]["studyInstanceUid"] == study_instance_uid:
                return Answer(state[0])
        raise UpstreamNotFound("GET /studies", status=404)

    async def reports(self, *, study_id: str) -> Answer:
        about, reports = self._state(study_id)
        return Answer({"reports": reports, "studyId": study_id, "studyInstanceUid": about["studyInstanceUid"]})

    async def report_text(self, report_id: str) -> Answer:
        about, report = self._report(report_id)
        return Answer({"reportId": report_id, "studyId": about["studyId"], "plainText": report["reportPlainText"]})

    async def user(self, user_id: str) -> Answer | None:
        self._check()
        return Answer(self.users[user_id]) if user_id in self.users else None

    @asynccontextmanager
    async def stream_pdf(self, report_id: str) -> AsyncIterator[PdfStream]:
        _, report = self._report(report_id)
        if report["status"] != "completed" or manner_of_pdf(report_id) == "refused":
            raise PdfUnavailable("GET the PDF", detail="there is none")
        yield PdfStream(pdf_of(report_id), _nothing_more(), None, 2**40)

    async def open_addendum(self, report_id: str) -> Answer:
        about, report = self._report(report_id)
        self.acts.append(report_id)
        own = {"reportId": made_id("rep", report_id, len(self.acts)), "isAddendum": True, "status": "in_progress"}
        added = {**report, **own, "signedAt": None, "reportPlainText": ""}
        state = ({**about, "studyReportStatus": "addendum_active"}, [*self._state(about["studyId"])[1], added])
        self.current[about["studyId"]] = state
        return Answer({"success": True})

    async def cancel_addendum(self, report_id: str) -> Answer:
        about, report = self._report(report_id)
        self.acts.append(report_id)
        if not report["isAddendum"]:
            raise UpstreamConflict("POST /cancel-addendum", status=409)
        rest = [one for one in self._state(about["studyId"])[1] if one is not report]
        self.current[about["studyId"]] = ({**about, "studyReportStatus": "completed"}, rest)
        return Answer({"success": True})

    def _check(self) -> None:
        if self.is_down:
            raise UpstreamUnreachable("GET")

    def _state(self, study_id: str) -> tuple[Json, list[Json]]:
        self._check()
        state = self.current.get(study_id)
        if state is None:
            raise UpstreamNotFound("GET", status=404)
        return state

    def _report(self, report_id: str) -> tuple[Json, Json]:
        self._check()
        for state in self.current.values():
            for report in state[1] if state else ():
                if report["reportId"] == report_id:
                    return state[0], report  # type: ignore[index]
        raise UpstreamNotFound("GET", status=404)


def _readers(studies: Iterable[RandomStudy]) -> set[str]:
    """Return the users that made the reports of studies."""
    return {one["userId"] for study in studies for state in study.states if state for one in state[1]}


def manner_of_pdf(report_id: str) -> str:
    """Return what becomes of the PDF of a report: it is stored, streamed, or refused by AutoScribe."""
    return ("stored", "streamed", "refused")[int(report_id[-2:], 16) % 3]


def pdf_of(report_id: str) -> bytes:
    """Return the PDF of a report."""
    return f"%PDF-1.7 of {report_id} ".encode() * 20


async def _nothing_more() -> AsyncIterator[bytes]:
    for piece in ():
        yield piece
