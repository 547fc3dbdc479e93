"""Tell if an event with an order number may be about an order that is known by its accession number alone. Pure.

HL7 v2.5.1 §4.5.1.2 (ORC-2), §4.5.1.3 (ORC-3), decisions D12, D48. Some senders give an order its order number only
later. An accession number is used again after a time, and several patients may have it by mistake: so patient and time
must agree.
"""

from __future__ import annotations

from datetime import datetime

from mappings.hospital.authorities import Authorities, OrderSource
from mappings.hospital.events import HospitalMessage, OrderEvent
from mappings.hospital.groups import compare_numbers, hospital_person, patient_numbers
from mappings.hospital.known_order import KnownOrder, is_apart, unread_number
from mappings.hospital.merges import NO_MERGES
from mappings.patient.people import are_two_people


def is_same_patients(  # noqa: PLR0913, PLR0917 (both sides, and the settings)
    known: KnownOrder,
    event: OrderEvent,
    message: HospitalMessage,
    source: OrderSource,
    authorities: Authorities,
    most_days: int,
    received: datetime,
) -> bool:
    """True if a known order and an event are of one patient, by number, and at most so many days lie between them.

    Orders whose name, birth date or sex contradict are of two patients, also under one number. A number of either that
    cannot be read might be another one.
    """
    if known.has_unread_number or unread_number(message.issues):
        return False
    at = event.at or (message.times[0] if message.times else received)
    if is_apart(known, at.date(), most_days):
        return False
    if are_two_people(hospital_person(known.patient), hospital_person(message.patient)):
        return False
    numbers = frozenset(authorities.patient_numbers(message.patient.numbers, source))
    return compare_numbers(numbers, patient_numbers(known, authorities, NO_MERGES)) == "agrees"
