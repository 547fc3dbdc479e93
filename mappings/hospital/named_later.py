"""Tell if two orders of a source under one accession number may be one that got its order number later. Pure.

HL7 v2.5.1 §4.5.1.2 (ORC-2), §4.5.1.3 (ORC-3), decisions D12, D48. An accession number is used again after a time,
several orders may have it, and several patients by mistake: so patient, procedure and time must not contradict.
"""

from __future__ import annotations

from typing import Final

from mappings.hospital.authorities import Authorities
from mappings.hospital.events import CodedText
from mappings.hospital.groups import compare_numbers, hospital_person, patient_numbers
from mappings.hospital.known_order import KnownOrder, is_apart
from mappings.hospital.merges import Merges
from mappings.patient.people import are_two_people

_NO_CODE: Final = CodedText()


def may_be_same(known: KnownOrder, stated: KnownOrder, authorities: Authorities, merges: Merges, most: int) -> bool:
    """True if a known order and one as an event states it may be one: at most so many days lie between them.

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
