"""Read which numbers a merge message merges (PID, PV1, MRG), and the reason to hold it, if any.

HL7 v2.5.1 §3.3.18 to §3.3.50 (events), §3.4.9 (MRG), §3.5.2 (merging); decision D48. Numbers are paired within one
authority and type alone. A message of which one pair cannot be applied is held whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mappings.hl7v2.inbound.datatypes import cx
from mappings.hl7v2.inbound.element import InboundSegment
from mappings.hl7v2.inbound.pid import distinct, pid_3_numbers, pid_18_account
from mappings.hl7v2.inbound.pv1 import pv1_19_visit_number
from mappings.hospital.events import Authority, HeldReason, IssuedNumber, NumberChange, NumberKind

# HL7 table 0003 Event Type: event -> the level at which numbers change. A18 is of v2.1 and has any of the three.
LEVELS: Final[dict[str, tuple[NumberKind, ...]]] = {
    "A18": ("patient", "account", "visit"),
    "A34": ("patient",),
    "A35": ("account",),
    "A36": ("patient", "account"),
    "A40": ("patient",),
    "A41": ("account",),
    "A42": ("visit",),
    "A47": ("patient",),
    "A50": ("visit",),
}
# Events that are understood and never applied: they separate or move records, which no pair of numbers says
NEVER_APPLIED: Final[dict[str, HeldReason]] = {"A37": "unlink", "A43": "move", "A44": "move", "A45": "move"}
_ANY_LEVEL: Final = frozenset({"A18"})


@dataclass(slots=True)
class MergeGroup:
    """Segments of one PATIENT group."""

    pid: InboundSegment
    mrg: InboundSegment | None = None
    pv1: InboundSegment | None = None


_Key = tuple[NumberKind, str, Authority]
Changes = tuple[tuple[NumberChange, ...], HeldReason]


def read_number_changes(segments: Iterable[InboundSegment], event: str) -> Changes:
    """Return the changes of a merge message, and the reason to hold it, or ""."""
    if event in NEVER_APPLIED:
        return (), NEVER_APPLIED[event]
    changes: list[NumberChange] = []
    held: HeldReason = ""
    groups = _merge_groups(segments)
    for group in groups:
        pairs, reason = _changes_of_group(group, event)
        changes += pairs
        held = held or reason
    if not groups:
        held = "survivor-missing"
    found = tuple(dict.fromkeys(changes))
    return found, held or _contradiction(found)


def mrg_1_prior_numbers(mrg: InboundSegment) -> tuple[IssuedNumber, ...]:
    """MRG-1 Prior Patient Identifier List. MRG-2 and MRG-4 belong to PID-4 and PID-2, which are not read.

    HL7 v2.5.1 §3.4.9.1
    """
    return distinct(cx(one, "patient") for one in mrg.repetitions(1))


def mrg_3_prior_account(mrg: InboundSegment) -> tuple[IssuedNumber, ...]:
    """MRG-3 Prior Patient Account Number.

    HL7 v2.5.1 §3.4.9.3
    """
    return distinct([cx(mrg.field(3), "account")])


def mrg_5_prior_visit_number(mrg: InboundSegment) -> tuple[IssuedNumber, ...]:
    """MRG-5 Prior Visit Number.

    HL7 v2.5.1 §3.4.9.5
    """
    return distinct([cx(mrg.field(5), "visit")])


_PRIOR: Final[dict[NumberKind, Callable[[InboundSegment], tuple[IssuedNumber, ...]]]] = {
    "patient": mrg_1_prior_numbers,
    "account": mrg_3_prior_account,
    "visit": mrg_5_prior_visit_number,
}


def _surviving(group: MergeGroup, kind: NumberKind) -> tuple[IssuedNumber, ...]:
    if kind == "patient":
        return pid_3_numbers(group.pid)
    if kind == "account":
        return distinct([pid_18_account(group.pid)])
    return distinct([pv1_19_visit_number(group.pv1)]) if group.pv1 else ()


def _merge_groups(segments: Iterable[InboundSegment]) -> list[MergeGroup]:
    groups: list[MergeGroup] = []
    for segment in segments:
        if segment.name == "PID":
            groups.append(MergeGroup(segment))
        elif segment.name == "MRG" and groups:
            groups[-1].mrg = segment
        elif segment.name == "PV1" and groups:
            groups[-1].pv1 = segment
    return groups


def _changes_of_group(group: MergeGroup, event: str) -> tuple[list[NumberChange], HeldReason]:
    if group.mrg is None:
        return [], "prior-missing"
    if "patient" not in LEVELS[event] and _names_another_patient(group, group.mrg):
        return [], "superior-differs"
    changes: list[NumberChange] = []
    held: HeldReason = ""
    has_prior = False
    for kind in LEVELS[event]:
        priors, survivors = _PRIOR[kind](group.mrg), _surviving(group, kind)
        has_prior = has_prior or bool(priors)
        if not priors and event not in _ANY_LEVEL:
            held = held or "prior-missing"
        for prior in priors:
            survivor, reason = _survivor(prior, survivors)
            held = held or reason
            if survivor:
                changes.append(NumberChange(kind, survivor, prior))
    return changes, held or ("" if has_prior else "prior-missing")


def _names_another_patient(group: MergeGroup, mrg: InboundSegment) -> bool:
    """True if MRG-1 has a number that is not in PID-3: superior numbers must be equal in both (§3.5.2)."""
    ours = {(number.value, number.authority) for number in pid_3_numbers(group.pid)}
    return any((number.value, number.authority) not in ours for number in mrg_1_prior_numbers(mrg))


def _survivor(prior: IssuedNumber, survivors: Iterable[IssuedNumber]) -> tuple[IssuedNumber | None, HeldReason]:
    """Return the number of the same authority and type that replaces a prior one; a missing type fits any.

    §3.5.2: both have the same assigning authority and identifier type.
    """
    of_authority = [one for one in survivors if one.authority == prior.authority]
    fitting = [one for one in of_authority if prior.type_code == one.type_code]
    fitting = fitting or [one for one in of_authority if not prior.type_code or not one.type_code]
    if len({one.value for one in fitting}) > 1:
        return None, "survivor-ambiguous"
    return (fitting[0], "") if fitting else (None, "survivor-missing")


def _contradiction(changes: Iterable[NumberChange]) -> HeldReason:
    """Return why the changes of one message contradict each other, or ""."""
    edges = {(_key(change.kind, change.prior), _key(change.kind, change.surviving)) for change in changes}
    if any(prior == surviving for prior, surviving in edges):
        return "same-number"
    if any(count > 1 for count in Counter(prior for prior, _ in edges).values()):
        return "prior-twice"
    after = dict(edges)
    if any(after.get(surviving) == prior for prior, surviving in edges):
        return "swap"
    if not any(surviving in after for _, surviving in edges):
        return ""
    return "loop" if _has_loop(after) else "chain"


def _has_loop(after: dict[_Key, _Key]) -> bool:
    """True if the way from some number leads back to it; each number is walked once."""
    walked: dict[_Key, _Key] = {}
    for start in after:
        place = start
        while place in after and place not in walked:
            walked[place] = start
            place = after[place]
        if walked.get(place) == start:
            return True
    return False


def _key(kind: NumberKind, number: IssuedNumber) -> _Key:
    return kind, number.value, number.authority
