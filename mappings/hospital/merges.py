"""Follow merged and changed numbers of patients, visits and accounts from the old number to the surviving one.

HL7 v2.5.1 §3.3.40 (A40), §3.3.47 (A47) and §3.4.9 (MRG), decision D48. A change is used if both numbers have one kind,
authority and type. A number that survives itself, a swap, a loop, and a second survivor are refused, and the numbers
concerned are in doubt: nothing is matched by them. If each number gives way once and nothing is refused, the order of
the changes does not count.
Proved by tests/mappings/hospital/test_merges.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import NumberChange

# Reason for which a change of a number is held -> the sentence for an operator
MERGE_REASONS: Final[dict[str, str]] = {
    "merge-same-number": "The old number and the surviving number are the same.",
    "merge-other-authority": "The old number and the surviving number have different authorities, or an unknown one.",
    "merge-other-type": "The old number and the surviving number have different types.",
    "merge-swap": "The surviving number was merged into the old one before: the two numbers change places.",
    "merge-loop": "The surviving number was merged into the old one before, by way of others.",
    "merge-second-survivor": "The old number was merged into another number before.",
}


class ResolvedChange(NamedTuple):
    """A change of a number, in the form for comparison."""

    prior: HospitalNumber
    surviving: HospitalNumber


@dataclass(frozen=True, slots=True)
class HeldChange:
    """A change that is not used; `reason` is one of `MERGE_REASONS`."""

    change: ResolvedChange
    reason: str


@dataclass(frozen=True, slots=True)
class Merges:
    """Numbers that gave way, each with the number that stands for it in the end, and the changes that are held."""

    survivors: Mapping[HospitalNumber, HospitalNumber] = field(default_factory=dict)
    held: tuple[HeldChange, ...] = ()
    doubtful: frozenset[HospitalNumber] = frozenset()

    def survivor(self, number: HospitalNumber) -> HospitalNumber:
        """Return the number that stands for this one; the number itself if it never gave way."""
        return self.survivors.get(number, number)

    def is_doubtful(self, number: HospitalNumber) -> bool:
        """True for a number whose change, or whose survivor's change, is held."""
        return number in self.doubtful or self.survivor(number) in self.doubtful


_SECOND: Final = "merge-second-survivor"
# Reason -> how many numbers of the change are in doubt: the old one, or both
_DOUBTFUL: Final = {"merge-swap": 2, "merge-loop": 2, _SECOND: 1}
NO_MERGES: Final = Merges()


def resolve_change(change: NumberChange, authorities: Authorities, source: OrderSource) -> ResolvedChange:
    """Find the authorities of both numbers. A number without type has that of the other."""
    prior, surviving = [authorities.number(change.kind, number, source) for number in (change.prior, change.surviving)]
    if not change.prior.type_code:
        prior = prior._replace(type_code=surviving.type_code)
    elif not change.surviving.type_code:
        surviving = surviving._replace(type_code=prior.type_code)
    return ResolvedChange(prior, surviving)


def merged(changes: Iterable[ResolvedChange]) -> Merges:
    """Build the merges from the changes in the order in which they were applied.

    A second survivor is tried again after the changes that follow: they may make both survivors one. A swap or a loop
    stays held, whatever follows.
    """
    direct: dict[HospitalNumber, HospitalNumber] = {}
    held: list[HeldChange] = []
    waiting = list(dict.fromkeys(changes))
    while waiting:
        refused = [HeldChange(change, reason) for change in waiting if (reason := _added(direct, change))]
        held += [one for one in refused if one.reason != _SECOND]
        again = [one.change for one in refused if one.reason == _SECOND]
        if len(again) == len(waiting):
            held += [one for one in refused if one.reason == _SECOND]
            break
        waiting = again
    doubtful = {number for one in held for number in one.change[: _DOUBTFUL.get(one.reason, 0)]}
    return Merges({prior: _end(direct, prior) for prior in direct}, tuple(held), frozenset(doubtful))


def _added(direct: dict[HospitalNumber, HospitalNumber], change: ResolvedChange) -> str:
    """Add a change; the reason if it is refused."""
    prior, surviving = change
    reason = _unfit(prior, surviving)
    if reason:
        return reason
    end = _end(direct, surviving)
    if end == prior:
        return "merge-swap" if direct[surviving] == prior else "merge-loop"
    if prior in direct:
        return "" if _end(direct, prior) == end else "merge-second-survivor"
    direct[prior] = surviving
    return ""


def _unfit(prior: HospitalNumber, surviving: HospitalNumber) -> str:
    if prior == surviving:
        return "merge-same-number"
    if prior.kind != surviving.kind or prior.authority != surviving.authority or not prior.authority:
        return "merge-other-authority"
    return "merge-other-type" if prior.type_code != surviving.type_code else ""


def _end(direct: Mapping[HospitalNumber, HospitalNumber], number: HospitalNumber) -> HospitalNumber:
    """Follow the chain to its end. There is one: `_added` lets in no change that would close a loop."""
    while number in direct:
        number = direct[number]
    return number
