"""Values planted in every text of an account, each with a number of its own, to be looked for where no text may be.

Decision D9: no patient data in logs, metrics, exception texts and URLs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from gateway.sandbox.state import SandboxAccount

Json = dict[str, Any]
WORD = "CANARY"
# Texts of a study, a snapshot and a user that people write; ids, codes and the gateway's own instants stay
_OF_STUDY = (
    *("studyDescription", "clinicalHistory", "clinicalIndication", "technologistTechnique", "externalPatientId"),
    "modality",
)
_OF_SNAPSHOT = ("age", "facilityName", "mrn", "patientName", "procedure", "referringPhysicianName", "studyTime")
_DATES = ("dateOfBirth", "studyDate")
_OF_USER = ("firstName", "lastName", "middleName", "phoneNumber", "suffix1", "suffix2")
_OF_REFERENCE = ("email", "firstName", "lastName", "expressCustomerName", "description")


class Planted:
    """Numbered values; `number` of them were planted."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.number = 0

    def value(self) -> str:
        self.number = next(self._numbers)
        return f"{WORD}{self.number:05d}"

    def plant(self, account: SandboxAccount) -> None:
        """Replace every text of an account."""
        for study_id, study in account.studies.items():
            reports = account.reports.get(study_id, ())
            with_dates = self.number % 2 == 0
            snapshot = self._snapshot(study["reportMetadata"], with_dates=with_dates)
            account.studies[study_id] = {**study, **self._study(study), "reportMetadata": snapshot}
            account.reports[study_id] = tuple(self._report(one, snapshot) for one in reports)
        for user_id, user in account.users.items():
            account.users[user_id] = {
                **user,
                **{key: self.value() for key in _OF_USER},
                "email": f"{self.value()}@x.example",
            }

    def _study(self, study: Json) -> Json:
        made: Json = {key: self.value() for key in _OF_STUDY}
        made["technologistNotes"] = [self.value()]
        made["metadata"] = {key: self.value() for key in ("accession", "order", "other")}
        made["priorReports"] = [{"reportText": self.value(), "studyDescription": self.value()}]
        for key in ("assignedTo", "createdByUser", "createdByApiKey", "expressCustomer"):
            if isinstance(study.get(key), dict):
                own = {name: self.value() for name in study[key].keys() & {*_OF_REFERENCE}}
                made[key] = {**study[key], **own}
        return made

    def _snapshot(self, snapshot: Json, *, with_dates: bool) -> Json:
        planted = {key: self.value() for key in (*_OF_SNAPSHOT, *(_DATES if with_dates else ()))}
        return {**snapshot, **planted}

    def _report(self, report: Json, snapshot: Json) -> Json:
        text = f"FINDINGS:\n{self.value()} \x0b\x00.\n{self.value()}:\nIMPRESSION: {self.value()}."
        return {
            **report,
            "snapshotMetadata": snapshot,
            **({"reportPlainText": text} if report.get("reportPlainText") else {}),
        }


def found_in(texts: Iterator[str] | list[str]) -> list[str]:
    """Return the texts that hold a planted value, shortened around it."""
    places = [(text, text.upper().find(WORD)) for text in texts]
    return [text[max(0, at - 120) : at + 60] for text, at in places if at >= 0]
