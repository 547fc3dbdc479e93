"""Which of a study's completed reports one message may restate: only those about one and the same patient.

HL7 v2.5.1 §7.3.1 (ORU^R01: one PID for all that follows it), decisions D11, D12, D18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.identifiers import Identity, filler_order_number, identify, report_alone, short_id
from mappings.issues import MappingIssue
from mappings.model import Report, Snapshot, Study
from mappings.profile import Site

# Snapshot fields that tell two people apart
_TELLING: Final = ("mrn", "date_of_birth", "sex")
_Known = tuple[Report, Identity]


@dataclass(frozen=True, slots=True)
class Subject:
    """The patient of a message: the `reports` about that patient in reading order, and who `speaker` says it is.

    `lead` is the newest original of them: order, examination and signer are its own. `filler` is EI.1 of OBR-3.
    """

    reports: tuple[Report, ...]
    lead: Report
    speaker: Report
    identity: Identity
    filler: str
    issues: tuple[MappingIssue, ...] = ()


def patients(study: Study, site: Site) -> tuple[tuple[Report, ...], ...]:
    """The completed reports that one message restates, for each patient of the study; the first owns its filler number.

    Nearly always there is one patient. Reports that name several people never share a message.
    """
    return tuple(tuple(report for report, _ in group) for group in _groups(study, site))


def subject(study: Study, report: Report, site: Site) -> Subject:
    """The patient of `report`, with every completed report of the study that is about the same one.

    The study's filler order number belongs to the patient of its first signed original. A report about someone else
    goes out under a number of its own, made of the first such report's id, so that neither overwrites the other.
    """
    completed = study.completed
    if len(completed) == 1:
        identity = identify(study, report.snapshot, site, f"{report.pointer}/snapshotMetadata")
        return Subject(completed, report, report, identity, filler_order_number(study))
    groups = _groups(study, site)
    group = next(group for group in groups if any(one is report for one, _ in group))
    lead = _newest(group)[0]
    speaker, identity = _newest([one for one in group if one[1].is_linked] or group)
    filler = filler_order_number(study)
    if group is not groups[0]:
        first = group[0][0]
        filler = short_id(first.report_id)
        identity = identity if identity.is_linked else report_alone(identity, first, site)
    issues = _conflict(report, sum(map(len, groups)) - len(group))
    return Subject(tuple(one for one, _ in group), lead, speaker, identity, filler, issues)


def _groups(study: Study, site: Site) -> list[list[_Known]]:
    groups: list[list[_Known]] = []
    for report in study.completed:
        one = report, identify(study, report.snapshot, site, f"{report.pointer}/snapshotMetadata")
        home = next((group for group in groups if _is_same(one, group[0])), None)
        if home is None and groups and _says_nothing(one, groups[0][0]):
            home = groups[0]
        if home is None:
            groups.append([one])
        else:
            home.append(one)
    return groups


def _conflict(report: Report, others: int) -> tuple[MappingIssue, ...]:
    if not others:
        return ()
    action = f"{others} reports of the study are about another patient: left out of this message"
    return (MappingIssue("identity-conflict", "error", f"{report.pointer}/snapshotMetadata", action),)


def _newest(group: list[_Known]) -> _Known:
    originals = [one for one in group if not one[0].is_addendum]
    return (originals or group)[-1]


def _says_nothing(one: _Known, owner: _Known) -> bool:
    """A report without an identity of its own, and with nothing against the owner's, is about the owner's patient."""
    return not one[1].is_linked and not _differs(one[0].snapshot, owner[0].snapshot)


def _is_same(one: _Known, other: _Known) -> bool:
    """Two reports of one identity; what identifies the study alone proves nothing, so nothing else may differ then."""
    if one[1].patient_id != other[1].patient_id:
        return False
    return one[1].is_linked or not _differs(one[0].snapshot, other[0].snapshot)


def _differs(snapshot: Snapshot, other: Snapshot) -> bool:
    pairs = [((getattr(snapshot, name) or "").strip(), (getattr(other, name) or "").strip()) for name in _TELLING]
    return any(mine and theirs and mine != theirs for mine, theirs in pairs)
