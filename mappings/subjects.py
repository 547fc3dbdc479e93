"""Who each report of a study is about, and whose snapshot speaks for that patient: one rule for FHIR and HL7 v2.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.subject, HL7 v2.5.1 §7.3.1 (ORU^R01: one PID
for all that follows it), decisions D11, D12, D17, D18.

1. Reports that name one MRN of one authority are about one patient, unless two or more of given name, family name,
   birth date and sex contradict each other (D12). Then the first keeps the patient and the other has one of its own.
   One that contradicts is a correction: the patient stays, and a warning names the field. It is the originals that are
   contradicted, or what their addenda say and they do not. An MRN is the same whatever its case, blanks, hyphens and
   leading zeros; what is typed where there is no number (`UNKNOWN`) is none. Another MRN is another patient, unless one
   of the two is doubtful, or they are equal at two facilities, and all else that is said agrees. An addendum that
   brings the first good MRN so joins its original's patient, who keeps the identity: a number that the originals do
   not name is shown, and nobody is to match by it.
2. A report without a linked identity is about the study's patient: the one that its originals name (those that were
   there before it, if any were), if all that name anybody name the same, or the one with its very MRN. If its snapshot
   speaks against that (another MRN, or with the same as in 1; without one on both sides another birth date or sex, or a
   birth date not said on one side and no word of the names in common), or there is no such patient, it joins the
   reports without identity that it agrees with, or stands alone.
3. Signed reports are placed before drafts, so no draft moves a signed report or speaks in its stead; and those that
   were seen signed earlier before others, so that a report which comes late, though signed early, takes no patient and
   no number from another (`Facts.seen`).
4. Reports that are gone keep their place, so that no patient takes the number of another (`Facts.gone`); they speak for
   a patient only where nothing else does.
5. What the study says is of its own patient, the one that has its number: `externalPatientId` and the numbers of its
   orders are no other patient's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Final, NamedTuple

from mappings.dates import is_too_late, parse_date, parse_instant, study_date_limit
from mappings.identifiers import Identity, PatientIdentifier, identify, stand_alone, unmatched
from mappings.issues import MappingIssue
from mappings.model import Facts, Report, Snapshot, Study
from mappings.patients import Said, bare_mrn, contradicts, in_words_of, said_of
from mappings.people import are_alike, differences
from mappings.profile import Site

_NO_FACTS: Final = Facts()
_ONE_DAY: Final = timedelta(days=1)
_SEVERAL: Final = "reports of this study are about other patients: neither Patient nor message is shared with them"
_TAKEN: Final = "other studies speak of somebody else under the same identifiers: a Patient of its own"


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A patient of a study, and the `reports` about that patient: signed ones in reading order, then drafts.

    `identity` has the identifiers of all of them; the snapshot at `pointer` speaks for the patient. `number` is the
    upstream id that EI.1 of OBR-3 is made of: the study's for the patient of the report first seen signed, else that of
    the patient's report first seen, so that no result overwrites another person's.
    """

    identity: Identity
    snapshot: Snapshot
    pointer: str
    reports: tuple[Report, ...]
    number: str
    issues: tuple[MappingIssue, ...]


class _Claim(NamedTuple):
    """What one report says of its patient; `order` is unique, and so is `rank`, which says who was there first."""

    order: int
    report: Report
    identity: Identity
    said: Said
    rank: tuple[bool, int, int]
    is_here: bool


def subjects(study: Study, reports: Sequence[Report], site: Site, facts: Facts = _NO_FACTS) -> dict[str, Subject]:
    """The subject of each of these `reports` of the study by report id, and the study's own under the study id.

    The study's own is the patient that has its number, and the first of the values. FHIR asks for all reports, HL7 v2
    for the signed ones: the answer for a signed report is the same. Of the facts `taken_patient_ids` are those under
    which other studies speak of somebody else: they are not used (D12). Without `seen`, reading order stands for it.
    What is `gone` has a subject too, and is no report of it.
    """
    here = {report.report_id for report in reports}
    every = (*reports, *(report for report in facts.gone if report.report_id not in here))
    if len(every) < 2:
        return _alone(study, every, here, site, facts)
    groups = _groups(_claims(study, every, here, site, facts.seen))
    found: dict[str, Subject] = {}
    used, taken = set(facts.taken_patient_ids), facts.taken_patient_ids
    is_only = sum(any(claim.is_here for claim in group) for group in groups) < 2
    for group in groups:
        own = study if group is groups[0] else None
        made = _subject(group, own, site, used, replace(facts, taken_patient_ids=taken), is_only=is_only)
        used.add(made.identity.patient_id)
        taken -= {claim.identity.patient_id for claim in group}  # a verdict on it was about these reports
        found.update((claim.report.report_id, made) for claim in group)
    return {study.study_id: found[groups[0][0].report.report_id], **found}


def _claims(
    study: Study, reports: Sequence[Report], here: AbstractSet[str], site: Site, seen: Sequence[str]
) -> list[_Claim]:
    """What the reports say of their patients, without what the study says of its own."""
    bare = replace(study, external_patient_id=None) if study.external_patient_id else study
    places = {report_id: place for place, report_id in enumerate(seen)}
    return [
        _Claim(
            order,
            report,
            identify(bare, report.snapshot, site, report.snapshot_pointer),
            said_of(report.snapshot, site),
            (not report.is_completed, places.get(report.report_id, len(places)), order),
            report.report_id in here,
        )
        for order, report in enumerate(sorted(reports, key=lambda report: not report.is_completed))
    ]


def _rank(claim: _Claim) -> tuple[bool, int, int]:
    return claim.rank


def subject_snapshot(study: Study, reports: Sequence[Report]) -> tuple[Snapshot, str]:
    """The snapshot that speaks for these `reports` of a study, with its pointer: the newest signed original's.

    Addenda never move the patient (D12); without reports the study speaks through its reportMetadata.
    """
    newest = _newest(reports)
    if newest is None:
        return study.metadata_snapshot or Snapshot(), "/reportMetadata"
    return newest.snapshot, newest.snapshot_pointer


def _newest(reports: Sequence[Report]) -> Report | None:
    return max(reversed(reports), key=_standing, default=None)


def recency(study: Study, at: datetime) -> tuple[str, float]:
    """Order studies by age, the newest greatest: study date, then the newest original's signedAt (D12).

    A study date of more than a day after it was signed, or after `at`, the present, is taken as not said: such a study
    is never the newest. Nor does a moment of signing of more than a day after the present count.
    """
    newest = _newest(study.reports)
    snapshot, _ = subject_snapshot(study, study.reports)
    day = parse_date(snapshot.study_date) or ""
    limit = study_date_limit(newest) if newest else None
    if is_too_late(day, at) or (limit and is_too_late(day, limit)):
        day = ""
    signed = [parse_instant(report.signed_at) for report in study.completed if not report.is_addendum]
    past = [one.timestamp() for one in signed if one and one - at <= _ONE_DAY]
    return day, max(past, default=0.0)


def _alone(
    study: Study, reports: Sequence[Report], here: AbstractSet[str], site: Site, facts: Facts
) -> dict[str, Subject]:
    snapshot, pointer = subject_snapshot(study, reports)
    identity = identify(study, snapshot, site, pointer)
    issues = identity.issues
    if identity.patient_id in facts.taken_patient_ids:
        named, identity = identity.patient_id, stand_alone(identity, study.study_id, site)
        issues = (*issues, _conflict(pointer, _TAKEN, named, identity.patient_id, facts))
    present = tuple([report for report in reports if report.report_id in here])
    made = Subject(identity, snapshot, pointer, present, study.study_id, issues)
    return dict.fromkeys([study.study_id, *[report.report_id for report in reports]], made)


def _groups(claims: list[_Claim]) -> list[list[_Claim]]:
    """The claims by patient; first the patient of the report that was there first, and so on."""
    groups: list[list[_Claim]] = []
    for claim in sorted(claims, key=_place):
        home = _home(claims, claim)
        group = next((one for one in groups if _belongs(claim, one, home)), None)
        if group is None:
            groups.append([claim])
        else:
            group.append(claim)
    return sorted((sorted(group) for group in groups), key=lambda group: min(map(_rank, group)))


def _place(claim: _Claim) -> tuple[bool, bool, bool, tuple[bool, int, int]]:
    """Order the claims to be placed: signed ones first, then originals, whom others are compared with, then linked."""
    return not claim.report.is_completed, claim.report.is_addendum, not claim.identity.is_linked, claim.rank


def _home(claims: list[_Claim], claim: _Claim) -> set[str]:
    """The ids that the originals name: of the patient that a claim without identity is about, if they are of one.

    If none is signed it is what there is. Originals that came after it do not count where others were there before.
    """
    best = max(_standing(one.report) for one in claims)
    named = [one for one in claims if one.identity.is_linked and _standing(one.report) == best]
    before = [one for one in named if one.rank < claim.rank]
    return {one.identity.patient_id for one in before or named}


def _belongs(claim: _Claim, group: list[_Claim], home: set[str]) -> bool:
    """True if a claim is about the patient of a group."""
    if _is_against(claim, group):
        return False
    patient = _namer(group).identity
    same = [one for one in group if _is_same_mrn(claim, one)]
    if not claim.identity.is_linked:
        if not patient.is_linked:
            return True
        return bool(same or (home and home <= {one.identity.patient_id for one in group}))
    if any(_is_same_number(one.identity, claim.identity) for one in group):
        return True
    if patient.is_linked:
        return any(are_alike(claim.said.person, one.said.person) for one in same)
    brings_first = claim.report.is_addendum and any(map(_is_original, group))
    return bool(same) or (brings_first and all(are_alike(claim.said.person, one.person) for one in _speakers(group)))


def _is_against(claim: _Claim, group: list[_Claim]) -> bool:
    """True where a claim contradicts those who speak for a group, or what others say of it and they do not."""
    speakers = _speakers(group)
    others = [reduce(in_words_of, speakers, one.said) for one in group if one.said not in speakers]
    return any(contradicts(claim.said, one) for one in (*speakers, *others))


def _speakers(group: list[_Claim]) -> list[Said]:
    """The claims of the highest standing: those of the signed originals, where there are any."""
    best = max(_standing(one.report) for one in group)
    return [one.said for one in group if _standing(one.report) == best]


def _namer(group: list[_Claim]) -> _Claim:
    """The claim whose identity the patient has: the last that has one, an original's first.

    That of an addendum only where no original has its place, or one has its number.
    """
    best = max(one.report.is_completed for one in group)
    originals = [one for one in group if _standing(one.report) == (best, True)]

    def place(one: _Claim) -> tuple[bool, bool, bool]:
        may = not originals or _is_original(one) or any(_is_same_mrn(one, other) for other in originals)
        return one.report.is_completed, one.identity.is_linked and may, _is_original(one)

    return max(reversed(group), key=place)


def _standing(report: Report) -> tuple[bool, bool]:
    """Signed before drafts, then originals before addenda: the greatest speaks for the patient."""
    return report.is_completed, not report.is_addendum


def _speaker(claims: list[_Claim]) -> _Claim:
    """The newest of the highest standing that says who it is about (a report may say nothing of the patient)."""
    return max(reversed(claims), key=lambda one: (*_standing(one.report), one.identity.is_linked))


def _subject(  # noqa: PLR0913 (what a patient is made of)
    whole: list[_Claim], own: Study | None, site: Site, used: AbstractSet[str], facts: Facts, *, is_only: bool
) -> Subject:
    """The patient of a group; `own` is the study of its own patient, who has the study's number and identifier too."""
    number = own.study_id if own is not None else min(whole, key=_rank).report.report_id
    group = [claim for claim in whole if claim.is_here]
    if not any(claim.identity.is_linked for claim in group):
        group = whole
    speaker = _speaker(group)
    namer = _namer(group)
    identity = namer.identity
    if own is not None and own.external_patient_id:
        identity = identify(own, namer.report.snapshot, site, namer.report.snapshot_pointer)
    named, is_taken = identity.patient_id, identity.patient_id in used
    if is_taken or (not identity.is_linked and own is None):
        identity = stand_alone(identity, number, site)
    known = {_number(one): one for one in identity.identifiers}
    for claim in sorted(group, key=lambda one: (one.report.is_completed, one.order), reverse=True):
        for one in claim.identity.identifiers:
            if one.type:
                known.setdefault(_number(one), unmatched(one, number) if one.is_assigned else one)
    identity = replace(identity, identifiers=tuple(known.values()))
    pointer = speaker.report.snapshot_pointer
    issues = [issue for claim in group for issue in _issues(claim, speaker)]
    issues += [issue for issue in identity.issues if issue.pointer == "/externalPatientId"]
    if is_taken or not is_only:
        issues.append(_conflict(pointer, _TAKEN if is_only else _SEVERAL, named, identity.patient_id, facts))
    reports = tuple(claim.report for claim in group if claim.is_here)
    return Subject(identity, speaker.report.snapshot, pointer, reports, number, tuple(issues))


def _conflict(pointer: str, action: str, named: str, own: str, facts: Facts) -> MappingIssue:
    """Make the issue of an identity conflict: an error, unless an operator decided whose reports they are.

    The decision is about the patient's `own` id, and about the `named` one where other studies speak of somebody else
    under it.
    """
    if {own, *({named} & facts.taken_patient_ids)}.isdisjoint(facts.decided_patient_ids):
        return MappingIssue("identity-conflict", "error", pointer, action)
    return MappingIssue("identity-decided", "information", pointer, "an operator said whose report it is")


def _issues(claim: _Claim, speaker: _Claim) -> Iterator[MappingIssue]:
    pointer = claim.report.snapshot_pointer
    if speaker.identity.is_linked and not claim.identity.is_linked:
        action = "says no identity of its own: the study's patient stands"
        yield MappingIssue("patient-from-study", "information", pointer, action)
    else:
        yield from claim.identity.issues
    differ = differences(claim.said.person, speaker.said.person)
    if differ:
        action = f"another {' and '.join(differ)} than what speaks for the patient: taken for one person"
        yield MappingIssue("patient-differs-in-study", "warning", pointer, action)


def _is_original(claim: _Claim) -> bool:
    return not claim.report.is_addendum


def _is_same_mrn(one: _Claim, other: _Claim) -> bool:
    return bool(one.said.mrn) and one.said.mrn == other.said.mrn


def _is_same_number(one: Identity, other: Identity) -> bool:
    """True for one MRN of one authority, however it is written."""
    numbers = {(each.system, _number(each)) for each in one.identifiers if each.type}
    return any((each.system, _number(each)) in numbers for each in other.identifiers if each.type)


def _number(identifier: PatientIdentifier) -> tuple[str, str]:
    """By what identifiers are told apart: an MRN is the same however it is written."""
    key = bare_mrn(identifier.value) if identifier.type == "MR" else ""
    return identifier.type, key or identifier.value
