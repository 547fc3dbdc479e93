"""Write the numbers of orders, visits and patients as texts by which rows find each other.

HL7 v2.5.1 §4.5.3.2 (OBR-2), decision D48. A study and an order have the same text for the same number.
Proved by tests/contract/test_orders.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast, get_args

from gateway.index.keys import SEPARATOR, bounded
from gateway.store.database.statements import storable
from mappings.hospital.authorities import Authorities, HospitalNumber, KeyKind, OrderKey
from mappings.hospital.events import IssuedNumber, NumberKind
from mappings.hospital.groups import order_keys
from mappings.hospital.known_order import KnownOrder

PATIENT: Final = "patient"
_RECORD: Final = f"record{SEPARATOR}"
_MOST_PARTS: Final = 3  # behind the kind: authority, type, value


def key_text(key: OrderKey) -> str:
    """Return the text of an order's number."""
    return bounded(storable(SEPARATOR.join(key)))


def number_text(number: HospitalNumber) -> str:
    """Return the text of a number of a patient, a visit or an account."""
    return bounded(storable(SEPARATOR.join(number)))


def own_text(kind: str, number: IssuedNumber, source: str) -> str:
    """Return the text of an order's number as its source has it, whatever the settings know of its authority."""
    issuer = number.authority
    parts = ("own", source, kind, issuer.namespace, issuer.universal_id, issuer.universal_id_type)
    return bounded(storable(SEPARATOR.join((*parts, number.value.strip()))))


def record_text(number: int) -> str:
    """Return the text of an order by its number in the database: a study that read the order is found by it."""
    return f"{_RECORD}{number}"


def is_key(text: str) -> bool:
    """Return True for a text of `key_text`: a study and an order can have it in common."""
    return text.partition(SEPARATOR)[0] in get_args(KeyKind)


def is_record(text: str) -> bool:
    """Return True for a text of `record_text`."""
    return text.startswith(_RECORD)


def number_of(text: str) -> HospitalNumber | None:
    """Return the number whose text this is; None for the text of an order's number."""
    kind, *others = text.split(SEPARATOR, _MOST_PARTS)
    if kind not in get_args(NumberKind) or len(others) < _MOST_PARTS:
        return None
    return HospitalNumber(cast(NumberKind, kind), *others)


def keys_of(order: KnownOrder, authorities: Authorities) -> Iterator[str]:
    """Yield the texts by which an order is found: its own numbers, those of its patient, and its visit's."""
    yield from map(key_text, order_keys(order, authorities))
    yield from map(number_text, authorities.patient_numbers(order.patient.numbers, order.source))
    visit = authorities.key_of("visit", order.visit.number if order.visit else None, order.source)
    if visit:
        yield number_text(visit)
