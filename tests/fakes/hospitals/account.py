"""AutoScribe account of several hospitals in virtual time, with the methods of the upstream client.

Studies are those of the sandbox, each with the facility and the medical record number of its hospital. A text ends with
`[study:report]`, so that every message shows of which reports it speaks.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from gateway.runtime import clock
from gateway.runtime.errors import UpstreamNotFound, UpstreamUnreachable
from gateway.sandbox.people import SandboxFacility
from gateway.sandbox.seed import generate, report_list
from gateway.sandbox.seed_study import instant, listed, new_report, signed
from gateway.upstream.answers import Answer

Json = dict[str, Any]
_MARK = re.compile(rb"\[(\d+):(\d)\]")
_WITHOUT_ODDITY = 5  # the sandbox gives an oddity to every number that leaves 4
_KNOWN_PATIENTS = 0.25
_PATIENT = ("patientName", "dateOfBirth", "sex", "mrn", "height", "weight")
_LATENCY = 0.05, 0.25  # seconds


def marks(text: bytes) -> frozenset[tuple[int, int]]:
    """Return the study and the report of each mark in a text."""
    return frozenset((int(study), int(report)) for study, report in _MARK.findall(text))


def hospital(number: int) -> SandboxFacility:
    """Return the facility of a hospital."""
    name = f"Simulated Hospital {number:02}"
    return SandboxFacility(name, "UTC", f"urn:oid:2.999.3.{number + 1}", f"SIM{number:02}", "given_family")


@dataclass
class Signed:
    """A signed report: of which hospital and patient, when signed, and when its message was acknowledged."""

    hospital: int
    mrn: str
    at: float
    is_critical: bool
    acknowledged: float | None = None


@dataclass
class Account:
    """The account; `seconds` is the virtual time, `tell` is called with the ids of each signed report;
    `critical` is the share of critical reports."""

    dice: Random
    seconds: Callable[[], float]
    tell: Callable[[str, str], None] = lambda study_id, report_id: None
    critical: float = 0.02
    is_down: bool = False
    requests: int = 0
    signed: dict[tuple[int, int], Signed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._world = generate(seed=self.dice.randrange(2**31), studies=0)
        self._users = {user["userId"]: user for user in self._world.users}
        self._studies: dict[str, Json] = {}
        self._reports: dict[str, tuple[Json, ...]] = {}
        self._open: dict[str, None] = {}
        self._patients: dict[int, list[Json]] = {}
        self._order: list[str] = []

    # What people do

    def admit(self, at_hospital: int) -> tuple[int, str]:
        """Add an unsigned study of that hospital; return its number and id."""
        number = len(self._order)
        seeded = self._world.fresh(number * _WITHOUT_ODDITY, clock.now(), "unassigned")
        said = dict(seeded.study["reportMetadata"]) | {"facilityName": hospital(at_hospital).name}
        patient = self._patient(at_hospital, said)
        study_id = seeded.study["studyId"]
        more = {"externalPatientId": f"ext-{patient['mrn']}", "reportMetadata": {**said, **patient}}
        self._studies[study_id] = {**seeded.study, **more}
        self._reports[study_id] = ()
        self._order.append(study_id)
        self._open[study_id] = None
        return number, study_id

    def _patient(self, at_hospital: int, said: Json) -> Json:
        known = self._patients.setdefault(at_hospital, [])
        if known and self.dice.random() < _KNOWN_PATIENTS:
            return self.dice.choice(known)
        own = {"mrn": f"H{at_hospital:02}{len(known):06}"}
        known.append({key: said[key] for key in _PATIENT if key in said} | own)
        return known[-1]

    def sign(self, at_hospital: int, number: int) -> None:
        """Sign the first report of a study, or an addendum to it."""
        study_id, now = self._order[number], clock.now()
        study, reports = self._studies[study_id], self._reports[study_id]
        place = len(reports) + 1
        is_critical = place == 1 and self.dice.random() < self.critical
        signer = self.dice.choice([user["userId"] for user in self._world.users if user["canCreateReports"]])
        report_id = f"rep_{self.dice.getrandbits(128):032x}"
        draft = new_report(report_id, study_id, signer, study["reportMetadata"], now, isAddendum=place > 1)
        said = (
            self._world.fresh(number * _WITHOUT_ODDITY, now).reports[0]["reportPlainText"] if place == 1 else "Added."
        )
        report = signed(draft, f"{said}\n[{number}:{place}]", is_critical, now)
        self._reports[study_id] = (*reports, report)
        critical = {"isCritical": is_critical} if place == 1 else {}
        self._put(study_id, now, studyReportStatus="completed", reportIds=listed(self._reports[study_id]), **critical)
        self._open.pop(study_id, None)
        mrn = study["reportMetadata"]["mrn"]
        self.signed[number, place] = Signed(at_hospital, mrn, self.seconds(), is_critical)
        self.tell(study_id, report_id)

    def study_id(self, number: int) -> str:
        """Return the id of a study."""
        return self._order[number]

    def _put(self, study_id: str, now: datetime, **values: Any) -> None:
        self._studies[study_id] = {**self._studies[study_id], **values, "updatedAt": instant(now)}

    # What the gateway asks

    async def studies(
        self,
        study_report_status: Sequence[str] = (),
        is_cancelled: bool | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> AsyncGenerator[Answer, None]:
        """Yield pages of studies; a page's cursor is the offset of its first study."""
        while True:
            await self._answer()
            ids = [] if is_cancelled else list(self._open) if study_report_status else self._order
            start = int(cursor or 0)
            cursor = str(start + limit)
            more = {"hasMore": True, "cursor": cursor} if start + limit < len(ids) else {"hasMore": False}
            yield Answer({"studies": [self._studies[one] for one in ids[start : start + limit]], **more})
            if not more["hasMore"]:
                return

    async def study(self, study_id: str) -> Answer:
        await self._answer()
        if study_id not in self._studies:
            raise UpstreamNotFound("GET /studies/{studyId}", status=404)
        return Answer(self._studies[study_id])

    async def reports(self, *, study_id: str) -> Answer:
        await self._answer()
        return Answer(report_list(self._studies[study_id], self._reports[study_id]))

    async def user(self, user_id: str) -> Answer | None:
        await self._answer()
        return Answer(self._users[user_id]) if user_id in self._users else None

    async def _answer(self) -> None:
        self.requests += 1
        await clock.sleep(self.dice.uniform(*_LATENCY))
        if self.is_down:
            raise UpstreamUnreachable("GET")
