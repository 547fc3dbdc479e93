"""State and actions of the sandbox's account: sign reports, open and cancel addenda, add and cancel studies.

Carries out no clause of a standard; the effects of an action follow AutoScribe's documentation of addenda and studies.
Every action advances the account's own clock, which starts from the seed, so the same actions give the same bytes. An
account that follows the real clock stamps its actions with the real time.
Proved by tests/gateway/sandbox/test_api.py and tests/gateway/sandbox/test_vendor_sdk.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.exceptions import HTTPException

from gateway.runtime import clock
from gateway.sandbox import texts
from gateway.sandbox.dice import Dice
from gateway.sandbox.procedures import PROCEDURES
from gateway.sandbox.seed import BETWEEN_STUDIES, AccountContent
from gateway.sandbox.seed_study import SeededStudy, instant, listed, new_report, signed, user_reference
from gateway.sandbox.switches import Switches

Json = dict[str, Any]

_LONGEST_REPORT: Final = timedelta(days=3)
_STEP: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class SignedReport:
    """Ids of a report that was just signed."""

    report_id: str
    study_id: str
    study_instance_uid: str


class SandboxAccount:
    """A sandbox account; calls its listeners for every delivered report. Use it from one thread only.

    `number_new` gives a new study the hospital's numbers, before anybody sees the study.
    """

    def __init__(self, world: AccountContent, switches: Switches | None = None, *, follows_clock: bool = False) -> None:
        self.world = world
        self.switches = switches or Switches()
        self.version = 0
        self.studies: dict[str, Json] = {}
        self.study_of_uid: dict[str, str] = {}
        self.reports: dict[str, tuple[Json, ...]] = {}
        self.archived: dict[str, tuple[Json, ...]] = {}
        self.study_of_report: dict[str, str] = {}
        self.users: dict[str, Json] = {user["userId"]: user for user in world.users}
        self.listeners: list[Callable[[Json, Json], None]] = []
        self.number_new: Callable[[SeededStudy], SeededStudy] | None = None
        self._dictated: dict[str, tuple[str, bool]] = {}
        self._acts = 0
        self._at: datetime | None = clock.now() if follows_clock else None
        self._fresh = 0
        self._listings: dict[Hashable, list[Json]] = {}
        self._listed_version = 0
        for seeded in world.seeded:
            self._take_in(seeded)

    def now(self) -> datetime:
        """Return the account's time: its own clock, or the real time of the last action; later with every action."""
        if self._at is not None:
            return self._at
        return self.world.epoch + len(self.world.seeded) * BETWEEN_STUDIES + _LONGEST_REPORT + self._acts * _STEP

    def find_study(self, study_id: str | None = None, uid: str | None = None) -> Json:
        """Find a study by one of its ids; refuse an unknown or invisible one as the switches say."""
        study = self.studies.get(study_id if study_id is not None else self.study_of_uid.get(uid or "", ""))
        if study is None:
            raise refusal(self.switches.unknown_id, "unknown study")
        if self.switches.key_scope == "self" and "createdByApiKey" not in study:
            raise refusal(self.switches.out_of_scope, "study out of the key's scope")
        return study

    def find_report(self, report_id: str) -> Json:
        """Find a report by its id; archived reports only if the switch shows them."""
        study_id = self.study_of_report.get(report_id)
        if study_id is None:
            raise refusal(self.switches.unknown_id, "unknown report")
        study = self.find_study(study_id)
        report = next((listed for listed in self.reports_of(study) if listed["reportId"] == report_id), None)
        if report is None:
            raise refusal(self.switches.unknown_id, "report not shown")
        return report

    def reports_of(self, study: Json) -> tuple[Json, ...]:
        """Return the reports of a study, oldest first."""
        study_id = study["studyId"]
        if study.get("studyType") != "external":
            return self.reports[study_id]
        if self.switches.external_reports == "404":
            raise refusal("404", "external study")
        return self.archived[study_id] if self.switches.external_reports == "data" else ()

    def listing(self, key: Hashable, wanted: Callable[[Json], bool] | None) -> list[Json]:
        """List the wanted studies (None: all) in the order of the switch; cached by `key` until something changes."""
        if self._listed_version != self.version:
            self._listings.clear()
            self._listed_version = self.version
        if key not in self._listings:
            studies = [study for study in self.studies.values() if wanted is None or wanted(study)]
            self._listings[key] = self._in_order(studies)
        return self._listings[key]

    def _in_order(self, studies: list[Json]) -> list[Json]:
        if self.switches.study_order == "shuffled":
            return Dice(self.world.seed, "order").shuffled(studies)
        return studies if self.switches.study_order == "oldest_first" else studies[::-1]

    def sign_new(self, *, critical: bool | None = None) -> SignedReport:
        """Add a new study and sign its report; `critical` overrides the criticality of its case."""
        self._act()
        seeded = self._fresh_study(len(self.world.seeded) + self._fresh)
        seeded = self.number_new(seeded) if self.number_new else seeded
        self._fresh += 1
        report = seeded.reports[0]
        if critical is not None:
            report = {**report, "isCritical": critical}
        self._take_in(seeded)
        self._put_report(report)
        return self._deliver(report)

    def _fresh_study(self, number: int) -> SeededStudy:
        """Generate a study created now; with the real clock, created earlier, so that it is signed now."""
        now = self.now()
        seeded = self.world.fresh(number, now)
        if self._at is None or not (signed_at := seeded.reports[0]["signedAt"]):
            return seeded
        took = datetime.fromisoformat(signed_at) - now
        return self.world.fresh(number, now - took) if timedelta() < took <= _LONGEST_REPORT else seeded

    def sign_next(self) -> SignedReport:
        """Sign the oldest unsigned report; if there is none, add and sign a new study."""
        waiting = next(iter(self._dictated), None)
        return self.sign(waiting) if waiting else self.sign_new()

    def sign(self, report_id: str, text: str | None = None) -> SignedReport:
        """Sign an unsigned report (409 if it is signed) with the dictated text, or with another one."""
        report = self.find_report(report_id)
        if report["status"] == "completed":
            raise refusal("409", "report is signed")
        self._act()
        dictated, is_critical = self._dictated.pop(report_id)
        final = dictated if text is None else text
        original = self.parent_of(report)
        if original is not None and self.switches.addendum_text == "merged":
            final = f"{original.get('reportPlainText', '')}\n\n{final}"
        report = signed(report, final, is_critical, self.now())
        self._put_report(report, studyReportStatus="completed")
        return self._deliver(report)

    def open_addendum(self, report_id: str) -> str:
        """Open an addendum to a signed report; return the id of the new report."""
        original = self.find_report(report_id)
        if original["status"] != "completed":
            raise refusal(self.switches.addendum_unsigned, "report is not signed")
        study = self.find_study(original["studyId"])
        if study["studyReportStatus"] == "addendum_active":
            raise refusal(self.switches.addendum_twice, "an addendum is active")
        self._act()
        dice = Dice(self.world.seed, "addendum", self._acts)
        new_id = f"rep_{dice.hex32()}"
        draft = new_report(
            new_id, original["studyId"], original["userId"], original["snapshotMetadata"], self.now(),
            isAddendum=True, reportPlainText="",
        )  # fmt: skip
        self._dictated[new_id] = dice.pick(texts.ADDENDA), False
        self._put_report(draft, studyReportStatus="addendum_active")
        return new_id

    def cancel_addendum(self, report_id: str) -> None:
        """Cancel the active addendum; the switch says if the id is the addendum's or its original's."""
        named = self.find_report(report_id)
        wrong_kind = {"original": named["isAddendum"], "addendum": not named["isAddendum"], "either": False}
        if wrong_kind[self.switches.cancel_takes]:
            raise refusal("404", "the other id is wanted")
        reports = self.reports[named["studyId"]]
        active = next((one for one in reports if one["isAddendum"] and one["status"] == "in_progress"), None)
        if active is None or (named["isAddendum"] and named is not active):
            raise refusal(self.switches.cancel_none, "no addendum is active")
        self._act()
        self._dictated.pop(active["reportId"], None)
        del self.study_of_report[active["reportId"]]
        self.reports[named["studyId"]] = tuple(report for report in reports if report is not active)
        self._put_study(named["studyId"], studyReportStatus="completed")

    def start_report(self, study_id: str) -> str:
        """Start to dictate the report of a study (409 if it has one); return the report's id."""
        study = self.find_study(study_id)
        if self.reports[study_id]:
            raise refusal("409", "the study has a report")
        self._act()
        dice = Dice(self.world.seed, "dictation", self._acts)
        signer = dice.pick([user for user in self.world.users if user["canCreateReports"]])
        procedure = dice.pick([one for one in PROCEDURES if one.modality == study.get("modality")] or PROCEDURES)
        written = texts.write(procedure, dice.pick(procedure.cases), dice)
        report_id = f"rep_{dice.hex32()}"
        self._dictated[report_id] = written.text, written.is_critical
        draft = new_report(
            report_id, study_id, signer["userId"], study["reportMetadata"], self.now(), reportPlainText=""
        )
        self._put_report(draft, studyReportStatus="in_progress", assignedTo=user_reference(signer))
        return report_id

    def change_text(self, report_id: str, text: str) -> None:
        """Change the text of a report without an addendum and without an event."""
        report = self.find_report(report_id)
        self._act()
        self._put_report({**report, "reportPlainText": text, "updatedAt": instant(self.now())})

    def change_patient(self, report_id: str, said: Json) -> None:
        """Change keys of a report's patient snapshot; None removes a key."""
        report = self.find_report(report_id)
        self._act()
        snapshot = {key: value for key, value in {**report["snapshotMetadata"], **said}.items() if value is not None}
        self._put_report({**report, "snapshotMetadata": snapshot, "updatedAt": instant(self.now())})

    def add_study(self, values: Json) -> Json:
        """Add a study (409 if its UID is known); `values` are the keys of the request."""
        if values["studyInstanceUid"] in self.study_of_uid:
            raise refusal("409", "the study UID is known")
        self._act()
        dice = Dice(self.world.seed, "created", self._acts)
        now = instant(self.now())
        study = {
            "studyId": f"stu_{dice.hex32()}",
            "studyReportStatus": "assigned" if values.get("assignedTo") else "unassigned",
            "isCancelled": False,
            "createdAt": now,
            "updatedAt": now,
            "cancelledAt": None,
            "studyType": "standard",
            "createdByApiKey": {"apiKeyId": dice.uuid4(), "description": "Sandbox integration"},
            **values,
        }
        self._take_in(SeededStudy(study, ()))
        return study

    def change_study(self, study_id: str, **values: Any) -> Json:
        """Change keys of a study."""
        self._act()
        return self._put_study(study_id, **values)

    def cancel_study(self, study_id: str, *, is_cancelled: bool = True) -> None:
        """Cancel a study, or undo that; cancelling a signed study withdraws its report."""
        self.find_study(study_id)
        at = instant(self.now()) if is_cancelled else None
        self.change_study(study_id, isCancelled=is_cancelled, cancelledAt=at)

    def parent_of(self, report: Json) -> Json | None:
        """Return the newest original report of an addendum's study; None for an original."""
        if not report["isAddendum"]:
            return None
        originals = [one for one in self.reports.get(report["studyId"], ()) if not one["isAddendum"]]
        return originals[-1] if originals else None

    def _act(self) -> None:
        self._acts += 1
        if self._at is not None:
            self._at = max(clock.now(), self._at + timedelta(seconds=1))
        self.version += 1

    def _take_in(self, seeded: SeededStudy) -> None:
        study_id = seeded.study["studyId"]
        self.studies[study_id] = seeded.study
        self.study_of_uid[seeded.study["studyInstanceUid"]] = study_id
        self.reports[study_id], self.archived[study_id] = seeded.reports, seeded.archived
        self._dictated.update(seeded.dictated)
        for report in (*seeded.reports, *seeded.archived):
            self.study_of_report[report["reportId"]] = study_id

    def _put_report(self, report: Json, **study_values: Any) -> None:
        study_id, report_id = report["studyId"], report["reportId"]
        reports = self.reports[study_id]
        known = any(one["reportId"] == report_id for one in reports)
        changed = (report if one["reportId"] == report_id else one for one in reports)
        self.reports[study_id] = tuple(changed) if known else (*reports, report)
        self.study_of_report[report_id] = study_id
        self._put_study(study_id, **study_values)

    def _put_study(self, study_id: str, **values: Any) -> Json:
        reports = self.reports[study_id]
        study = {**self.studies[study_id], **values, "updatedAt": instant(self.now())}
        if reports:
            study["reportIds"] = listed(reports)
        if reports and reports[0]["isCritical"] is not None:
            study["isCritical"] = reports[0]["isCritical"]
        self.studies[study_id] = study
        return study

    def _deliver(self, report: Json) -> SignedReport:
        study = self.studies[report["studyId"]]
        if not report["isAddendum"] or self.switches.addendum_event == "yes":
            for listener in self.listeners:
                listener(study, report)
        return SignedReport(report["reportId"], report["studyId"], study["studyInstanceUid"])


def refusal(status: str | int, detail: str) -> HTTPException:
    """Make an HTTP error; the detail is a reason, never a value."""
    return HTTPException(int(status), detail)
