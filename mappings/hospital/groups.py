"""Group the orders of one patient under one accession number, and compare their patients.

HL7 v2.5.1 §3.4.2 (PID), decisions D12, D48. A patient number decides: equal under one authority, after merges, is one
patient. Name, birth date and sex never make two orders one group; they show that a group is contradictory. News of a
visit count for an order's patient alone: two patients may have one visit number by mistake.
Proved by tests/mappings/hospital/test_groups.py and tests/mappings/hospital/test_match.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

from mappings.hospital.authorities import Authorities, HospitalNumber, OrderKey, OrderSource
from mappings.hospital.events import HospitalPatient
from mappings.hospital.known_order import KnownOrder, is_state_newer
from mappings.hospital.merges import Merges
from mappings.model import Snapshot
from mappings.patient.people import Person, are_two_people, person

Agreement = Literal["agrees", "differs", "silent"]
"""Result of comparing patient numbers; `silent`: no two of them have one authority."""
# PID-8, table 0001 -> Snapshot.sex; other values say nothing that could contradict
_SEX: Final = {"M": "male", "F": "female", "O": "other"}
_DATE_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class OrderGroup:
    """Orders of one patient under one accession number; an order without one stands alone.

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
        """Orders that stand; all orders if none does."""
        return tuple([order for order in self.orders if not order.is_void]) or self.orders


def order_keys(order: KnownOrder, authorities: Authorities) -> tuple[OrderKey, ...]:
    """Keys by which a study finds an order: numbers with their authority, and study UIDs if the source says so."""
    numbers = (
        authorities.order_key("accession", order.accession, order.source),
        authorities.order_key("placer", order.placer, order.source),
        authorities.order_key("filler", order.filler, order.source),
    )
    uids = order.study_uids if order.source.are_uids_keys else ()
    return (*[one for one in numbers if one], *[OrderKey("study_uid", "", uid) for uid in uids])


def own_numbers(order: KnownOrder, authorities: Authorities) -> dict[str, OrderKey]:
    """Return the keys of an order's placer and filler order number by their kinds."""
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
    """Numbers of an order's patient, each the surviving one."""
    numbers = authorities.patient_numbers(order.patient.numbers, order.source)
    return frozenset(merges.survivor(number) for number in numbers)


def compare_numbers(one: frozenset[HospitalNumber], other: frozenset[HospitalNumber]) -> Agreement:
    """Compare the numbers of two patients of a hospital by authority and type."""
    if one & other:
        return "agrees"
    issuers = {(number.authority, number.type_code) for number in one}
    return "differs" if any((number.authority, number.type_code) in issuers for number in other) else "silent"


def patient_agreement(
    order: KnownOrder, said: HospitalPatient, source: OrderSource, authorities: Authorities, merges: Merges
) -> Agreement:
    """Compare an order's patient with that of a message, by the numbers that are one patient's alone (D11).

    A merge that is in doubt makes no two numbers one.
    """
    ours = authorities.own_numbers(order.patient.numbers, order.source)
    theirs = authorities.own_numbers(said.numbers, source)
    return compare_numbers(*[frozenset(_certain(number, merges) for number in each) for each in (ours, theirs)])


def is_about_patient(
    order: KnownOrder, said: HospitalPatient, source: OrderSource, authorities: Authorities, merges: Merges
) -> bool:
    """True if news of a visit count for an order: they are about its patient, and not about a second person (D48).

    The patient's number decides. Where no two numbers can be compared, name, birth date and sex must not contradict.
    """
    agreement = patient_agreement(order, said, source, authorities, merges)
    return agreement == "agrees" or (agreement == "silent" and not are_different(hospital_person(said), order.patient))


def are_different(one: Person, other: HospitalPatient) -> bool:
    """True if name, birth date or sex show that an order is about somebody else (D12)."""
    return are_two_people(one, hospital_person(other))


@lru_cache(maxsize=1024)
def hospital_person(patient: HospitalPatient) -> Person:
    """Read name, birth date and sex of a message's patient in the form in which a snapshot's are compared."""
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
    """True if what ended under an accession number alone is newer than an order of the group that stands."""
    accession = authorities.order_key("accession", cancel.accession, cancel.source)
    if accession is None or accession != group.accession:
        return False
    if compare_numbers(patient_numbers(cancel, authorities, merges), group.numbers) == "differs":
        return False
    return any(not one.is_void and is_state_newer(cancel, one) for one in group.orders)


def _describes_two(orders: Sequence[KnownOrder]) -> bool:
    people = list(dict.fromkeys(hospital_person(order.patient) for order in orders))
    return any(are_two_people(one, other) for place, one in enumerate(people) for other in people[:place])
