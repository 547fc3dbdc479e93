"""Which of a study's completed reports one message may restate: only those about one and the same patient.

HL7 v2.5.1 §7.3.1 (ORU^R01: one PID for all that follows it), decisions D11, D12, D18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.identifiers import Identity, filler_order_number, identify, short_id
from mappings.issues import MappingIssue
from mappings.model import Report, Snapshot, Study
from mappings.profile import Site

# Snapshot fields that tell two people apart
_TELLING: Final = ("mrn", "date_of_birth", "sex")


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


def subject(study: Study, report: Report, site: Site) -> Subject:
    """The patient of `report`, with every completed report of the study that is about the same one.

    The study's filler order number belongs to the patient of its first signed original. A report about someone else
    goes out under a number of its own, made of the first such report's id, so that neither overwrites the other.
    """
    completed = study.completed
    identities = [identify(study, one.snapshot, site, f"{one.pointer}/snapshotMetadata") for one in completed]
    known = list(zip(completed, identities, strict=True))
    if len(known) == 1:
        return Subject(completed, report, report, identities[0], filler_order_number(study))
    owner = known[0]
    group = [one for one in known if _joins(one, owner)]
    filler, others = filler_order_number(study), len(known) - len(group)
    if report not in [one for one, _ in group]:
        mine = next(one for one in known if one[0] is report)
        group = [one for one in known if one not in group and _is_same(one, mine)]
        filler, others = short_id(group[0][0].report_id), len(known) - len(group)
    lead = _newest(group)[0]
    speaker, identity = _newest([one for one in group if one[1].is_linked] or group)
    reports = tuple(one for one, _ in group)
    return Subject(reports, lead, speaker, identity, filler, _conflict(report, others))


def _conflict(report: Report, others: int) -> tuple[MappingIssue, ...]:
    if not others:
        return ()
    action = f"{others} reports of the study are about another patient: left out of this message"
    return (MappingIssue("identity-conflict", "error", f"{report.pointer}/snapshotMetadata", action),)


def _newest(group: list[tuple[Report, Identity]]) -> tuple[Report, Identity]:
    originals = [one for one in group if not one[0].is_addendum]
    return (originals or group)[-1]


def _joins(one: tuple[Report, Identity], owner: tuple[Report, Identity]) -> bool:
    """A report is about the owner's patient if it says so, or says no identity of its own and nothing against it."""
    says_nothing = not one[1].is_linked and not _differs(one[0].snapshot, owner[0].snapshot)
    return says_nothing or _is_same(one, owner)


def _is_same(one: tuple[Report, Identity], other: tuple[Report, Identity]) -> bool:
    """Two reports of one identity; what identifies the study alone proves nothing, so nothing else may differ then."""
    if one[1].patient_id != other[1].patient_id:
        return False
    return one[1].is_linked or not _differs(one[0].snapshot, other[0].snapshot)


def _differs(snapshot: Snapshot, other: Snapshot) -> bool:
    pairs = [((getattr(snapshot, name) or "").strip(), (getattr(other, name) or "").strip()) for name in _TELLING]
    return any(mine and theirs and mine != theirs for mine, theirs in pairs)
