"""Group the orders of one patient under one accession number, after merges; compare the patients of orders.

HL7 v2.5.1 §3.4.2 (PID), §3.3.40 (A40), §3.3.47 (A47), §3.4.9 (MRG), §4.5.1.2 (ORC-2), decisions D12, D48. A patient
number decides: equal under one authority, after merges, is one patient. Name, birth date and sex never make two orders
one group; they show that a group is contradictory. A change of number is used if both numbers have one kind, authority
and type. A number that survives itself, a swap, a loop, and a second survivor are refused, and the numbers concerned
are in doubt: nothing is matched by them. News of a visit count only for an order's patient: two patients may have one
visit number by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from mappings.hospital.authorities import Authorities, HospitalNumber, OrderKey, OrderSource
from mappings.hospital.events import CodedText, HospitalPatient, NumberChange
from mappings.hospital.known_order import KnownOrder, is_apart, is_state_newer
from mappings.model import Snapshot
from mappings.patient.people import Person, are_two_people, person

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
    """Change of a number, with both numbers in their form for comparison."""

    prior: HospitalNumber
    surviving: HospitalNumber


@dataclass(frozen=True, slots=True)
class HeldChange:
    """Change that is not used; `reason` is one of `MERGE_REASONS`."""

    change: ResolvedChange
    reason: str


@dataclass(frozen=True, slots=True)
class Merges:
    """Merged numbers, each with the number that finally replaces it, and the changes that are held."""

    survivors: Mapping[HospitalNumber, HospitalNumber] = field(default_factory=dict)
    held: tuple[HeldChange, ...] = ()
    doubtful: frozenset[HospitalNumber] = frozenset()

    def survivor(self, number: HospitalNumber) -> HospitalNumber:
        """Return the number that finally replaces this one; the number itself if it was never merged."""
        return self.survivors.get(number, number)

    def is_doubtful(self, number: HospitalNumber) -> bool:
        """True for a number if its change, or that of the number replacing it, is held."""
        return number in self.doubtful or self.survivor(number) in self.doubtful


_SECOND: Final = "merge-second-survivor"
# Reason -> how many numbers of the change are in doubt: the old one, or both
_DOUBTFUL: Final = {"merge-swap": 2, "merge-loop": 2, _SECOND: 1}
NO_MERGES: Final = Merges()


def resolve_change(change: NumberChange, authorities: Authorities, source: OrderSource) -> ResolvedChange:
    """Find the authorities of both numbers. A number without a type code has that of the other."""
    prior, surviving = [authorities.number(change.kind, number, source) for number in (change.prior, change.surviving)]
    if not change.prior.type_code:
        prior = prior._replace(type_code=surviving.type_code)
    elif not change.surviving.type_code:
        surviving = surviving._replace(type_code=prior.type_code)
    return ResolvedChange(prior, surviving)


def merged(changes: Iterable[ResolvedChange]) -> Merges:
    """Combine changes, in the order they were applied, to merges.

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
    """Add a change; return the reason if it is refused."""
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
    """Follow the chain of changes to its end; `_added` refuses changes that would close a loop."""
    while number in direct:
        number = direct[number]
    return number


Agreement = Literal["agrees", "differs", "silent"]
"""Result of comparing patient numbers; `silent`: no two of them have one authority."""
# PID-8, table 0001 -> Snapshot.sex; other values say nothing that could contradict
_SEX: Final = {"M": "male", "F": "female", "O": "other"}
_DATE_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class OrderGroup:
    """Orders of one patient under one accession number; an order without one is a group of its own.

    `numbers` are the patient's, each the surviving one. A group `is_contradictory` if its orders describe two
    people; those that were cancelled count only if no order stands. It `may_be_cancelled` if the accession number alone
    was cancelled since, and nothing shows that its orders are not meant.
    """

    orders: tuple[KnownOrder, ...]
    accession: OrderKey | None
    numbers: frozenset[HospitalNumber]
    is_contradictory: bool = False
    may_be_cancelled: bool = False

    @property
    def is_void(self) -> bool:
        """True if all orders were cancelled or replaced."""
        return all(order.is_void for order in self.orders)

    @property
    def standing(self) -> tuple[KnownOrder, ...]:
        """Orders not cancelled or replaced; all orders if every one is."""
        return tuple([order for order in self.orders if not order.is_void]) or self.orders


def order_keys(order: KnownOrder, authorities: Authorities) -> tuple[OrderKey, ...]:
    """Return the keys by which a study finds an order: its numbers, and study UIDs if the source allows."""
    numbers = (
        authorities.order_key("accession", order.accession, order.source),
        authorities.order_key("placer", order.placer, order.source),
        authorities.order_key("filler", order.filler, order.source),
    )
    uids = order.study_uids if order.source.are_uids_keys else ()
    return (*[one for one in numbers if one], *[OrderKey("study_uid", "", uid) for uid in uids])


def own_numbers(order: KnownOrder, authorities: Authorities) -> dict[str, OrderKey]:
    """Return the keys of an order's own numbers, placer and filler, by kind."""
    return {key.kind: key for key in order_keys(order, authorities) if key.kind in ("placer", "filler")}


def indexed(orders: Iterable[KnownOrder], authorities: Authorities) -> dict[OrderKey, list[KnownOrder]]:
    """Index orders by their keys."""
    index: dict[OrderKey, list[KnownOrder]] = {}
    for order in orders:
        for key in order_keys(order, authorities):
            index.setdefault(key, []).append(order)
    return index


def groups(orders: Sequence[KnownOrder], authorities: Authorities, merges: Merges) -> tuple[OrderGroup, ...]:
    """Group orders by accession number and patient; an order whose patient cannot be compared is a group of its own."""
    made: list[OrderGroup] = []
    for order in orders:
        accession = authorities.order_key("accession", order.accession, order.source)
        numbers = patient_numbers(order, authorities, merges)
        joined = [one for one in made if _is_of_group(order, accession, numbers, one)]
        others = [one for one in made if one not in joined]
        members = (*[member for one in joined for member in one.orders], order)
        every = numbers.union(*[one.numbers for one in joined])
        made = [*others, OrderGroup(members, accession, every)]
    cancels = [one for one in orders if one.is_void and not one.placer and not one.filler]
    return tuple(
        [
            replace(
                one,
                is_contradictory=_describes_two(one.standing),
                may_be_cancelled=any(_may_end(cancel, one, authorities, merges) for cancel in cancels),
            )
            for one in made
        ]
    )


def patient_numbers(order: KnownOrder, authorities: Authorities, merges: Merges) -> frozenset[HospitalNumber]:
    """Return the numbers of an order's patient, after merges."""
    numbers = authorities.patient_numbers(order.patient.numbers, order.source)
    return frozenset(merges.survivor(number) for number in numbers)


def compare_numbers(one: frozenset[HospitalNumber], other: frozenset[HospitalNumber]) -> Agreement:
    """Compare the numbers of two patients by authority and type."""
    if one & other:
        return "agrees"
    issuers = {(number.authority, number.type_code) for number in one}
    return "differs" if any((number.authority, number.type_code) in issuers for number in other) else "silent"


def patient_agreement(
    order: KnownOrder, said: HospitalPatient, source: OrderSource, authorities: Authorities, merges: Merges
) -> Agreement:
    """Compare an order's patient with a message's, by numbers that cannot be another patient's, too (D11).

    A merge that is in doubt makes no two numbers one.
    """
    ours = authorities.own_numbers(order.patient.numbers, order.source)
    theirs = authorities.own_numbers(said.numbers, source)
    return compare_numbers(*[frozenset(_certain(number, merges) for number in each) for each in (ours, theirs)])


def is_about_patient(
    order: KnownOrder, said: HospitalPatient, source: OrderSource, authorities: Authorities, merges: Merges
) -> bool:
    """True if visit news apply to an order: they are about its patient, and about nobody else (D48).

    The patient's number decides. Where no two numbers can be compared, name, birth date and sex must not contradict.
    """
    agreement = patient_agreement(order, said, source, authorities, merges)
    return agreement == "agrees" or (agreement == "silent" and not are_different(hospital_person(said), order.patient))


def are_different(one: Person, other: HospitalPatient) -> bool:
    """True if name, birth date or sex show that an order is about another person (D12)."""
    return are_two_people(one, hospital_person(other))


@lru_cache(maxsize=1024)
def hospital_person(patient: HospitalPatient) -> Person:
    """Return name, birth date and sex of a message's patient in the form in which a snapshot's are compared."""
    parts = (patient.family, patient.given, patient.middle)
    born = patient.born
    if len(born) == _DATE_LENGTH:
        born = f"{born[:4]}-{born[4:6]}-{born[6:]}"
    name = "^".join(parts) if any(parts) else None
    return person(Snapshot(patient_name=name, date_of_birth=born or None, sex=_SEX.get(patient.sex)))


def _certain(number: HospitalNumber, merges: Merges) -> HospitalNumber:
    return number if merges.is_doubtful(number) else merges.survivor(number)


def _is_of_group(
    order: KnownOrder, accession: OrderKey | None, numbers: frozenset[HospitalNumber], group: OrderGroup
) -> bool:
    if accession is None or group.accession != accession:
        return False
    return compare_numbers(numbers, group.numbers) == "agrees"


def _may_end(cancel: KnownOrder, group: OrderGroup, authorities: Authorities, merges: Merges) -> bool:
    """True if an event under an accession number ended it after the group's standing orders were last heard of."""
    accession = authorities.order_key("accession", cancel.accession, cancel.source)
    if accession is None or accession != group.accession:
        return False
    if compare_numbers(patient_numbers(cancel, authorities, merges), group.numbers) == "differs":
        return False
    return any(not one.is_void and is_state_newer(cancel, one) for one in group.orders)


def _describes_two(orders: Sequence[KnownOrder]) -> bool:
    people = list(dict.fromkeys(hospital_person(order.patient) for order in orders))
    return any(are_two_people(one, other) for place, one in enumerate(people) for other in people[:place])


_NO_CODE: Final = CodedText()


def may_be_same(known: KnownOrder, stated: KnownOrder, authorities: Authorities, merges: Merges, most: int) -> bool:
    """True if a known order and an event may be about one order: at most so many days lie between them.

    A patient number must be equal, after merges, and none in doubt. Other patients are told by name, birth date and
    sex, too. A number of either order that cannot be read might be another one.
    """
    if known.has_unread_number or stated.has_unread_number or is_apart(known, stated.first_at.date(), most):
        return False
    if known.procedure != stated.procedure and _NO_CODE not in (known.procedure, stated.procedure):
        return False
    if are_two_people(hospital_person(known.patient), hospital_person(stated.patient)):
        return False
    written = [tuple(authorities.patient_numbers(one.patient.numbers, one.source)) for one in (known, stated)]
    if any(merges.is_doubtful(number) for numbers in written for number in numbers):
        return False
    return compare_numbers(*[patient_numbers(one, authorities, merges) for one in (known, stated)]) == "agrees"
