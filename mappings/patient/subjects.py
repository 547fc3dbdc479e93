"""Find the patient of each report of a study, and the report whose patient data count, for FHIR and HL7 v2.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.subject, HL7 v2.5.1 §7.3.1 (ORU^R01: one PID
for all segments after it), decisions D11, D12, D17, D18.

1. Reports with one MRN of one authority are about one patient, unless two or more of given name, family name, birth
   date and sex contradict (D12). Then the first report keeps the patient and the other gets its own. A single
   contradiction is a correction: the patient stays, and a warning names the field. Reports are compared with the
   originals, and with values of their addenda that the originals lack. MRNs are compared without case, blanks, hyphens
   and leading zeros; a placeholder (`UNKNOWN`) is no MRN. Another MRN is another patient, unless one of the two is
   doubtful, or they are equal at two facilities, and everything else agrees. An addendum with the first good MRN thus
   joins its original's patient, who keeps the identity: the number is shown, but nobody may match by it.
2. A report without a linked identity is about the study's patient: the one that its originals name (those seen before
   it, if any), if all of them name the same one, or the one with the same MRN. If its snapshot contradicts that patient
   or there is none, it joins the reports without identity that it agrees with, or stands alone. Contradictions are:
   another MRN; the same MRN and two fields as in 1; or, without an MRN on both sides, another birth date or sex, or a
   birth date missing on one side and no common word of the names.
3. Signed reports are placed before drafts, so no draft moves a signed report or speaks in its place. Reports seen
   signed earlier are placed before others. So a report that arrives late, though signed early, takes no patient and no
   number from another (`Facts.seen`).
4. Reports no longer listed keep their place, so that no patient takes another's number (`Facts.gone`). They speak for a
   patient only if no other report does.
5. Study fields belong to the study's own patient, the one with its number: `externalPatientId` and the order numbers
   belong to no other patient.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Final, NamedTuple

from mappings.issues import MappingIssue
from mappings.model import Facts, Report, Snapshot, Study
from mappings.patient.identifiers import Identity, PatientIdentifier, mrn_key, stand_alone, unmatched
from mappings.patient.merged import identified
from mappings.patient.people import Said, are_alike, bare_mrn, contradicts, differences, in_words_of, said_of
from mappings.profile import Site
from mappings.reuse import Reuse
from mappings.values.dates import is_too_late, parse_date, parse_instant, study_date_limit

_NO_FACTS: Final = Facts()
_ONE_DAY: Final = timedelta(days=1)
_SEVERAL: Final = "reports of this study are about other patients: neither Patient nor message is shared with them"
_TAKEN: Final = "other studies speak of somebody else under the same identifiers: a Patient of its own"


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Patient in a study, and the `reports` about that patient: signed ones in reading order, then drafts.

    `identity` has the identifiers of all of them; the snapshot at `pointer` speaks for the patient. `number` is the
    upstream id for EI.1 of OBR-3: the study's for the patient of the report first seen signed, else the id of the
    patient's first seen report. So no result overwrites another person's.
    """

    identity: Identity
    snapshot: Snapshot
    pointer: str
    reports: tuple[Report, ...]
    number: str
    issues: tuple[MappingIssue, ...]


class _Claim(NamedTuple):
    """Claim of one report about its patient. `order` is unique, and so is `rank`: reports seen earlier rank lower.

    `standing`: the greatest speaks for the patient.
    """

    order: int
    report: Report
    identity: Identity
    said: Said
    rank: tuple[bool, int, int]
    is_here: bool
    standing: tuple[bool, bool]


def subjects(study: Study, reports: Sequence[Report], site: Site, facts: Facts = _NO_FACTS) -> dict[str, Subject]:
    """Return the subject of each report by report id, and the study's own subject by study id.

    The study's own subject is the patient with the study's number; it is the first value. FHIR passes all reports, HL7
    v2 the signed ones; both get the same subject for a signed report. Ids in `taken_patient_ids` are not used: other
    studies use them for somebody else (D12). Without `seen`, reading order replaces it. Reports in `gone` have a
    subject too, but are not listed in it.
    """
    here = {report.report_id for report in reports}
    every = (*reports, *(report for report in facts.gone if report.report_id not in here))
    if len(every) < 2:
        return _one_subject(study, every, here, site, facts)
    groups = _groups(_claims(study, every, here, site, facts))
    by_report: dict[str, Subject] = {}
    used, taken = set(facts.taken_patient_ids), facts.taken_patient_ids
    is_only = sum(any(claim.is_here for claim in group) for group in groups) < 2
    for group in groups:
        own = study if group is groups[0] else None
        made = _subject(group, own, site, used, replace(facts, taken_patient_ids=taken), is_only=is_only)
        used.add(made.identity.patient_id)
        taken -= {claim.identity.patient_id for claim in group}  # the conflict was about these reports
        by_report.update((claim.report.report_id, made) for claim in group)
    return {study.study_id: by_report[groups[0][0].report.report_id], **by_report}


def subjects_as_before(
    study: Study, reports: Sequence[Report], site: Site, facts: Facts, reuse: Reuse
) -> dict[str, Subject]:
    """Return `subjects`, reusing the earlier result if nothing that decides it has changed."""
    of_study = study.study_id, study.external_patient_id, study.express_customer, study.metadata_snapshot
    of_reports = [(one.report_id, one.status, one.is_addendum, one.snapshot, one.pointer) for one in reports]
    given = site, facts, of_study, of_reports
    known = reuse.of(subjects, given, lambda: subjects(study, reports, site, facts))
    newest = {report.report_id: report for report in reports}
    made: dict[Subject, Subject] = {}
    for subject in dict.fromkeys(known.values()):
        own = tuple([newest[report.report_id] for report in subject.reports])
        is_same = all(map(operator.is_, own, subject.reports))
        made[subject] = subject if is_same else replace(subject, reports=own)
    return {key: made[subject] for key, subject in known.items()}


def _claims(study: Study, reports: Sequence[Report], here: AbstractSet[str], site: Site, facts: Facts) -> list[_Claim]:
    """Read the reports' facts about their patients, without the study's own patient fields."""
    bare = replace(study, external_patient_id=None) if study.external_patient_id else study
    places = {report_id: place for place, report_id in enumerate(facts.seen)}
    claims = []
    for order, report in enumerate(sorted(reports, key=lambda report: not report.is_completed)):
        identity = identified(bare, report.snapshot, site, report.snapshot_pointer, facts)
        rank = (not report.is_completed, places.get(report.report_id, len(places)), order)
        said = _as_merged(said_of(report.snapshot, site), identity)
        claims.append(_Claim(order, report, identity, said, rank, report.report_id in here, _standing(report)))
    return claims


def _as_merged(said: Said, identity: Identity) -> Said:
    """Replace a merged MRN by the number that replaces it, so that both count as one number."""
    if not any(one.is_old and one.type == "MR" for one in identity.identifiers):
        return said
    [survivor] = [one.value for one in identity.identifiers if one.type == "MR" and not one.is_old]
    return said._replace(mrn=mrn_key(survivor))


def _rank(claim: _Claim) -> tuple[bool, int, int]:
    return claim.rank


def subject_snapshot(study: Study, reports: Sequence[Report]) -> tuple[Snapshot, str]:
    """Return the snapshot that speaks for these `reports`, and its pointer: that of the newest signed original.

    Addenda never move the patient (D12). Without reports the study's reportMetadata speaks.
    """
    newest = _newest(reports)
    if newest is None:
        return study.metadata_snapshot or Snapshot(), "/reportMetadata"
    return newest.snapshot, newest.snapshot_pointer


def _newest(reports: Sequence[Report]) -> Report | None:
    return max(reversed(reports), key=_standing, default=None)


def recency(study: Study, at: datetime) -> tuple[str, float]:
    """Sort key for studies by age, the newest greatest: study date, then the newest original's signedAt (D12).

    A study date more than a day after the signature, or after `at`, the present, is ignored: such a study is never the
    newest. A time of signing more than a day after the present is ignored too.
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


def _one_subject(
    study: Study, reports: Sequence[Report], here: AbstractSet[str], site: Site, facts: Facts
) -> dict[str, Subject]:
    snapshot, pointer = subject_snapshot(study, reports)
    identity = identified(study, snapshot, site, pointer, facts)
    issues = identity.issues
    if identity.patient_id in facts.taken_patient_ids:
        named, identity = identity.patient_id, stand_alone(identity, study.study_id, site)
        issues = (*issues, _conflict(pointer, _TAKEN, named, identity.patient_id, facts))
    present = tuple([report for report in reports if report.report_id in here])
    made = Subject(identity, snapshot, pointer, present, study.study_id, issues)
    return dict.fromkeys([study.study_id, *[report.report_id for report in reports]], made)


def _groups(claims: list[_Claim]) -> list[list[_Claim]]:
    """Group the claims by patient; the patient of the report seen first comes first."""
    groups: list[list[_Claim]] = []
    best = max(one.standing for one in claims)
    named = [one for one in claims if one.identity.is_linked and one.standing == best]
    for claim in sorted(claims, key=_place):
        home = _home(named, claim)
        group = next((one for one in groups if _belongs_to_group(claim, one, home)), None)
        if group is None:
            groups.append([claim])
        else:
            group.append(claim)
    return sorted((sorted(group) for group in groups), key=lambda group: min(map(_rank, group)))


def _place(claim: _Claim) -> tuple[bool, bool, bool, tuple[bool, int, int]]:
    """Sort key for placing claims: signed first, then originals, with which others are compared, then linked ones."""
    return not claim.report.is_completed, claim.report.is_addendum, not claim.identity.is_linked, claim.rank


def _home(named: list[_Claim], claim: _Claim) -> set[str]:
    """Patient ids named by the originals; if there is one, claims without identity are about that patient.

    Without signed reports, the others count. Originals seen after the claim count only if none was seen before it.
    """
    before = [one for one in named if one.rank < claim.rank]
    return {one.identity.patient_id for one in before or named}


def _belongs_to_group(claim: _Claim, group: list[_Claim], home: set[str]) -> bool:
    """True if a claim is about the patient of a group of claims."""
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
    """True if a claim contradicts a group's leading reports, or values of other reports that these lack."""
    speakers = _speakers(group)
    others = [reduce(in_words_of, speakers, one.said) for one in group if one.said not in speakers]
    return any(contradicts(claim.said, one) for one in (*speakers, *others))


def _speakers(group: list[_Claim]) -> list[Said]:
    """Return the facts that lead a group: those of its signed originals, if there are any."""
    best = max(one.standing for one in group)
    return [one.said for one in group if one.standing == best]


def _namer(group: list[_Claim]) -> _Claim:
    """Return the claim that gives the patient its identity: the last with one, preferably of an original.

    An addendum gives it only if the group has no original, or an original has its number. Of several spellings of that
    number, such as one with zeros in front, the one seen first stays the key: only an operator moves a patient.
    """
    best = max(one.report.is_completed for one in group)
    originals = [one for one in group if one.standing == (best, True)]

    def place(one: _Claim) -> tuple[bool, bool, bool]:
        may = not originals or _is_original(one) or any(_is_same_mrn(one, other) for other in originals)
        return one.report.is_completed, one.identity.is_linked and may, _is_original(one)

    last = max(reversed(group), key=place)
    named = [one for one in group if one.report.is_completed == best and one.identity.is_linked]
    return min([one for one in named if _is_same_number(one.identity, last.identity)], key=_rank, default=last)


def _standing(report: Report) -> tuple[bool, bool]:
    """Sort key: signed before drafts, then originals before addenda; the greatest speaks for the patient."""
    return report.is_completed, not report.is_addendum


def _speaker(claims: list[_Claim]) -> _Claim:
    """Return the newest claim of the highest standing that identifies its patient."""
    return max(reversed(claims), key=lambda one: (*one.standing, one.identity.is_linked))


def _subject(  # noqa: PLR0913 (all sources of a patient)
    whole: list[_Claim], own: Study | None, site: Site, used: AbstractSet[str], facts: Facts, *, is_only: bool
) -> Subject:
    """Build the subject of a group. `own` is the study if this is its own patient."""
    number = own.study_id if own is not None else min(whole, key=_rank).report.report_id
    group = [claim for claim in whole if claim.is_here]
    if not any(claim.identity.is_linked for claim in group):
        group = whole
    speaker = _speaker(group)
    namer = _namer(group)
    identity = namer.identity
    if own is not None and own.external_patient_id:
        identity = identified(own, namer.report.snapshot, site, namer.report.snapshot_pointer, facts)
    named, is_taken = identity.patient_id, identity.patient_id in used
    if is_taken or (not identity.is_linked and own is None):
        identity = stand_alone(identity, number, site)
    known = {_number(one): one for one in identity.identifiers}
    replaced = {one.patient_id: one for one in identity.replaced}
    for claim in sorted(group, key=lambda one: (one.report.is_completed, one.order), reverse=True):
        is_same = claim.identity.patient_id == identity.patient_id
        replaced |= {one.patient_id: one for one in claim.identity.replaced if is_same}
        for identifier in claim.identity.identifiers:
            if identifier.type:
                is_unfit = identifier.is_assigned and not (is_same and identifier.is_old)
                known.setdefault(_number(identifier), unmatched(identifier, number) if is_unfit else identifier)
    identity = replace(
        identity, identifiers=tuple(known.values()), replaced=tuple([replaced[one] for one in sorted(replaced)])
    )
    pointer = speaker.report.snapshot_pointer
    issues = [issue for claim in group for issue in _issues(claim, speaker)]
    issues += [issue for issue in identity.issues if issue.pointer == "/externalPatientId"]
    if is_taken or not is_only:
        issues.append(_conflict(pointer, _TAKEN if is_only else _SEVERAL, named, identity.patient_id, facts))
    reports = tuple(claim.report for claim in group if claim.is_here)
    return Subject(identity, speaker.report.snapshot, pointer, reports, number, tuple(issues))


def _conflict(pointer: str, action: str, named: str, own: str, facts: Facts) -> MappingIssue:
    """Make the issue of an identity conflict: an error, unless an operator has decided it.

    The decision is about the patient's `own` id, and about the `named` id if other studies use it for somebody
    else.
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
    """True for one MRN of one authority, in any spelling."""
    numbers = {(each.system, _number(each)) for each in one.identifiers if each.type}
    return any((each.system, _number(each)) in numbers for each in other.identifiers if each.type)


def _number(identifier: PatientIdentifier) -> tuple[str, str]:
    """Key by which identifiers are distinguished: an MRN is the same in any spelling."""
    key = bare_mrn(identifier.value) if identifier.type == "MR" else ""
    return identifier.type, key or identifier.value
