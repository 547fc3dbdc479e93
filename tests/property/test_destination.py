"""Laws of a destination's content after each version in a random life of a study (D12, D13, D16-D21, D28)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, pairwise, product
from typing import NamedTuple, get_args

from fakes import er7_reader
from fakes.destination import Destination, Feed, Result
from fakes.scale import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.life.changes import Known, changes
from mappings.life.status import is_withdrawn
from mappings.model import Report, Snapshot, Study
from mappings.patient.subjects import subjects
from mappings.profile import AssigningAuthority, Facility, OnCancelled, Receiver, Site, conflicts, receiver
from mappings.sections import cut
from mappings.values.dates import parse_instant, version_instant

STUDY_ID = "stu_" + "1" * 32
JANE = Snapshot(mrn="1001", patient_name="DOE^JANE", date_of_birth="1970-01-01", sex="female", facility_name="Mercy")
RICK = Snapshot(mrn="2002", patient_name="ROE^RICK", date_of_birth="1950-01-01", sex="male", facility_name="Mercy")
ONE_PATIENT = (JANE, replace(JANE, patient_name="DOE^JANET"))
TWO_PATIENTS = (JANE, RICK, replace(RICK, patient_name="ROE^RICHARD"), replace(JANE, mrn=None), Snapshot())
STEPS = ("original", "addendum", "sign", "sign", "edit", "edit", "blank", "flag", "name", "cancel", "study")
MERCY = Facility("Mercy", mrn=AssigningAuthority("urn:oid:2.999.1", "MERCY"))
SITE = Site(site_key=b"k" * 32, facilities={"Mercy": MERCY}, accession_keys=("accession",))


class Step(NamedTuple):
    """An act on the study, or on the `which`th of its reports that allows it, counted modulo their number."""

    kind: str
    which: int
    is_signed: bool
    person: Snapshot


@dataclass
class Life:
    """Study in the hands of its radiologists; `cancelled` are the signed addenda that an operator withdrew.

    Left out of the life of two patients, since a filler order number is then known to change its patient: a patient
    without a number until a signed original has one; a number that is removed; a draft that is blanked.
    """

    has_two_patients: bool = False
    reports: list[Report] = field(default_factory=list)
    cancelled: frozenset[str] = frozenset()
    is_cancelled: bool = False
    made: int = 0
    texts: int = 0
    updates: int = 0

    def take(self, step: Step) -> None:
        if step.kind in ("original", "addendum"):
            self._dictate(step)
        elif step.kind == "study":
            self.is_cancelled = not self.is_cancelled
        elif able := [one for one in self.reports if self._is_able(step, one)]:
            report = able[step.which % len(able)]
            place = self.reports.index(report)
            self.reports[place : place + 1] = self._changed(step, report)

    def _dictate(self, step: Step) -> None:
        is_addendum = step.kind == "addendum"
        same = [one for one in self.reports if one.is_addendum is is_addendum]
        named = {one.snapshot.mrn for one in self.reports if one.is_completed and not one.is_addendum}
        if len(same) == 2 + is_addendum or not (step.person.mrn or named):
            return
        self.made += 1
        at = f"2026-01-05T{8 + self.made:02}:00:00Z"
        made = Report(
            report_id=f"rep_{self.made:032x}",
            study_id=STUDY_ID,
            user_id="usr_" + "1" * 32,
            status="completed" if step.is_signed else "in_progress",
            is_addendum=is_addendum,
            is_critical=None,
            created_at=at,
            signed_at=at if step.is_signed else None,
            updated_at=at,
            snapshot=step.person,
            text=None,
            sections=(),
            pointer="/reports/0",
        )
        self.reports.append(self._written(made))

    def _is_able(self, step: Step, report: Report) -> bool:
        """True if the report allows the step."""
        if step.kind == "sign":
            return not report.is_completed
        if step.kind == "blank":
            return not (report.is_completed or self.has_two_patients)
        if step.kind == "cancel":
            return report.is_addendum
        return step.kind != "name" or step.person.mrn is not None

    def _changed(self, step: Step, report: Report) -> list[Report]:
        if step.kind == "cancel":
            self.cancelled |= {report.report_id} if report.is_completed else set()
            return []
        if step.kind == "sign":
            signed = replace(report, status="completed", signed_at=report.created_at)
            return [signed if step.is_signed and report.text else self._written(signed)]
        if step.kind == "blank":
            return [replace(report, text="", sections=())]
        if step.kind == "flag":
            return [self._updated(step, replace(report, is_critical=not report.is_critical))]
        if step.kind == "name":
            return [replace(report, snapshot=step.person)]
        return [self._updated(step, self._written(report))]

    def _updated(self, step: Step, report: Report) -> Report:
        """Give the report a later `updatedAt`, or leave it as it was: AutoScribe may do either."""
        self.updates += step.is_signed
        at = f"2026-01-06T{self.updates % 24:02}:00:00Z"
        return replace(report, updated_at=at) if step.is_signed else report

    def _written(self, report: Report) -> Report:
        """Give the report a text that no other has and that identifies it."""
        self.texts += 1
        text = f"IMPRESSION: {report.report_id} says {self.texts}."
        return replace(report, text=text, sections=cut(text))

    def seen(self, accession: str) -> Study:
        """Return the study as AutoScribe shows it."""
        is_open = any(one.is_addendum and not one.is_completed for one in self.reports)
        return Study(
            study_id=STUDY_ID,
            reports=tuple(replace(one, pointer=f"/reports/{place}") for place, one in enumerate(self.reports)),
            is_cancelled=self.is_cancelled,
            study_report_status="addendum_active" if is_open else "completed",
            metadata={"accession": accession} if accession else {},
        )


class Told(NamedTuple):
    """A life, version by version, and its receiver; each version has the ids of its cancelled signed addenda."""

    looks: list[tuple[Study, frozenset[str]]]
    to: Receiver
    site: Site


@st.composite
def lives(draw: st.DrawFn) -> Told:
    """Draw a life of up to seven versions, of one patient or two, for any receiver that the laws cover.

    Left out, since a filler order number is then known to change its patient: drafts about two patients for a
    receiver that files by accession number.
    """
    people = draw(st.sampled_from((ONE_PATIENT, TWO_PATIENTS)))
    step = st.builds(Step, st.sampled_from(STEPS), st.integers(0, 4), st.booleans(), st.sampled_from(people))
    addendum = draw(st.sampled_from(("replace", "append", "new_order")))
    is_two = people is TWO_PATIENTS
    life, looks = Life(has_two_patients=is_two), []
    accession = draw(st.sampled_from(("", "A1")))
    for steps in draw(st.lists(st.lists(step, min_size=1, max_size=3), min_size=1, max_size=7)):
        for act in steps:
            life.take(act)
        looks.append((life.seen(accession), life.cancelled))
    send_drafts = draw(st.sampled_from(("on", "off")))
    is_filed = bool(accession) and not (is_two and send_drafts == "on") and draw(st.booleans())
    to = replace(
        receiver("generic"),
        addendum=addendum,
        send_drafts=send_drafts,
        pdf=draw(st.sampled_from(("none", "separate_message"))),
        accession_field="3" if is_filed else "18",
        accession="required" if accession else "optional",
    )
    assert not conflicts(to)
    policy = draw(st.sampled_from(get_args(OnCancelled)))
    return Told(looks, to, replace(SITE, send_drafts=draw(st.booleans()), on_cancelled_after_sign=policy))


class Standing(NamedTuple):
    """A report text at the destination: its report, the part of its cause, and its result."""

    text: str
    report_id: str
    part: str
    result: Result


class Moment(NamedTuple):
    """State after a version: `refused` are parts of reports whose message an error prevented."""

    study: Study
    is_withdrawn: bool
    results: dict[str, Result]
    refused: frozenset[tuple[str, str]]
    control_ids: list[str]

    def standing(self) -> Iterator[Standing]:
        for result in self.results.values():
            for text in result.lines:
                if found := re.fullmatch("IMPRESSION: (rep_.*) says .*", text):
                    yield Standing(text, found[1], "report", result)
            for data in result.files:
                yield Standing(data.decode(), data.decode().split()[1], "pdf", result)


def lived(told: Told) -> Iterator[Moment]:
    """Yield the state after each version of a life, until a move, which holds the lane (D13)."""
    feed, destination = Feed(told.to, told.site), Destination()
    before: Study | None = None
    known = Known()
    refused: frozenset[tuple[str, str]] = frozenset()
    control_ids: list[str] = []
    for now, cancelled in told.looks:
        change = changes(before, now, told.site, replace(known, cancelled=cancelled))
        if change.is_move:
            return
        for sent in feed.send(change):
            destination.receive(sent.message)
            if sent.message is not None:
                control_ids.append(er7_reader.field(sent.message, "MSH-10"))
            elif sent.errors:
                refused |= {(report_id, sent.cause.part) for report_id in sent.about}
        before, known = change.study, change.known
        moment = Moment(before, is_withdrawn(before, told.site), destination.results, refused, control_ids)
        texts = {one.text for one in before.completed}
        final = [one for one in moment.standing() if one.result.is_final]
        refused -= {(one.report_id, one.part) for one in final if one.text in texts}
        yield moment._replace(refused=refused)


LIMITS = settings(max_examples=examples(60))


@LIMITS
@given(lives())
def test_each_signed_text_stands_once_with_its_patient_or_an_error_says_why_not(told: Told) -> None:
    parts = ("report", "pdf") if told.to.pdf == "separate_message" else ("report",)
    for moment in lived(told):
        standing = [one for one in moment.standing() if one.result.is_final]
        signed = () if moment.is_withdrawn else moment.study.completed
        for report, part in product(signed, parts):
            if (report.report_id, part) not in moment.refused:
                found = [one for one in standing if (one.text, one.part) == (report.text, part)]
                assert len(found) == 1 or (found and part == "pdf" and report.is_addendum)
                assert all(one.result.patients[-1].startswith(report.snapshot.mrn or "") for one in found)


@LIMITS
@given(lives())
def test_no_pdf_of_a_report_stands_without_those_of_its_addenda_before_it(told: Told) -> None:
    for moment in lived(told):
        if told.to.addendum == "new_order" or moment.refused:
            continue
        reports = {one.report_id: one for one in moment.study.completed}
        whose = subjects(moment.study, moment.study.completed, told.site)
        for result in moment.results.values():
            said = [reports[data.decode().split()[1]] for data in result.files]
            for original in (one for one in said if not one.is_addendum):
                added = [one for one in whose[original.report_id].reports if one.is_addendum]
                assert [one.report_id for one in said] == [*(one.report_id for one in added[::-1]), original.report_id]


@LIMITS
@given(lives())
def test_nothing_stands_that_is_withdrawn_or_gone_unless_an_error_says_so(told: Told) -> None:
    """Known exception: if a signed report was held, an earlier draft of it may remain."""
    for moment in lived(told):
        reports = {one.report_id: one for one in moment.study.reports}
        for text, report_id, part, result in moment.standing():
            is_draft_left = moment.refused and not result.is_final
            if is_draft_left or (report_id, part) in moment.refused:
                continue
            assert not moment.is_withdrawn
            assert reports[report_id].is_completed is result.is_final
            assert not result.is_final or reports[report_id].text == text


@LIMITS
@given(lives())
def test_no_draft_and_no_first_result_follows_a_signed_one_under_its_number(told: Told) -> None:
    for moment in lived(told):
        assert [one.history for one in moment.results.values() if not one.is_in_order] == []


@LIMITS
@given(lives())
def test_obr_22_never_goes_back_and_moves_with_each_status_and_flag(told: Told) -> None:
    """D17, D19; HL7 v2.5.1 §7.4.1.22: withdrawals, corrections without a signature, and drafts included."""
    for moment in lived(told):
        for (before, was), (after, now) in chain(*(pairwise(one.reported) for one in moment.results.values())):
            assert before < after if was != now else before <= after


@LIMITS
@given(lives())
def test_issued_stays_whatever_is_read_again_without_another_text(told: Told) -> None:
    """D17: not before the signature, and moved by a signature and by a changed text alone."""
    before: Study | None = None
    for now, _ in told.looks:
        change = changes(before, now, told.site, Known())
        for report in change.study.reports:
            was = next((one for one in before.reports if one.report_id == report.report_id), None) if before else None
            if was and was.is_completed and was.text == report.text:
                assert version_instant(report) == version_instant(was)
            elif was and was.is_completed:
                moved = parse_instant(report.updated_at) != parse_instant(was.updated_at)
                assert version_instant(report) > max(map(version_instant, before.completed)) or moved
                assert not moved or version_instant(report) == parse_instant(report.updated_at)
                assert moved or ("text-change-undated" in [issue.code for issue in change.issues])
        again = tuple(
            replace(one, updated_at="2026-02-01T00:00:00Z", text_changed_at=None, is_change_dated=True)
            for one in change.study.reports
        )
        reread = changes(change.study, replace(now, reports=again), told.site, change.known).study
        assert versions(reread) == versions(change.study)
        before = change.study


def versions(study: Study) -> dict[str, datetime | None]:
    return {one.report_id: version_instant(one) for one in study.reports}


@LIMITS
@given(lives())
def test_a_filler_order_number_never_changes_its_patient(told: Told) -> None:
    for moment in lived(told):
        assert [one.patients for one in moment.results.values() if len(set(one.patients)) > 1] == []


@LIMITS
@given(lives())
def test_no_two_messages_have_the_same_control_id(told: Told) -> None:
    for moment in lived(told):
        assert len(set(moment.control_ids)) == len(moment.control_ids)
