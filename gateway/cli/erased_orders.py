"""Find what hospitals sent about a patient whose studies are to be erased: the numbers, and the stored messages.

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17, erasure); decisions D48, D49. Everything is read before the
erasure begins, since messages are found only by reading each that still has its bytes.
Proved by tests/contract/test_erasing_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Final

from gateway.feed.operator.arguments import wrong
from gateway.ingest.meet_orders import patient_numbers
from gateway.ingest.orders.named_numbers import MessageNumbers, NamedNumbers
from gateway.settings import Configuration
from gateway.store import erasing
from gateway.store.compression.stored_bytes import decompressed
from gateway.store.database.engine import Engine
from gateway.store.orders.erasing import HospitalErasure, OrdersToErase, messages_with_bytes, orders_to_erase
from gateway.store.orders.keys import number_of
from gateway.store.orders.known_hospital import OrderReader
from gateway.store.orders.source_names import first_names
from gateway.store.studies import intake
from gateway.store.studies.kept import kept
from mappings.hospital.authorities import PATIENT_TYPES, Authorities, HospitalNumber
from mappings.hospital.groups import compare_numbers

_AT_A_TIME: Final = 100


async def hospital_erasure(
    engine: Engine, configuration: Configuration, study_ids: Sequence[str]
) -> HospitalErasure | None:
    """Return what an erasure of these studies concerns of hospitals; None if none ever sent anything.

    Raises:
        ConfigError: a held merge ties the patient's number to somebody else's.
        StoreUnavailable: the store cannot be reached.
    """
    authorities = Authorities(configuration.site)
    if not await OrderReader(engine, authorities).is_used():
        return None
    numbers = await _numbers(engine, configuration, study_ids)
    found = await engine.do(partial(orders_to_erase, study_ids, numbers, authorities))
    if found.disputed:
        problem = "a merge that is held ties the patient's number to somebody else's, who would be in doubt no more"
        remedy = (
            "Settle it first: `orders messages` has its message, for `orders set-aside`, or the hospital sends a merge."
        )
        raise wrong("patients erase", problem, remedy)
    return HospitalErasure(authorities, numbers, *(await _messages(engine, configuration, found)))


async def _numbers(engine: Engine, configuration: Configuration, study_ids: Sequence[str]) -> frozenset[HospitalNumber]:
    """Return the numbers of the studies' patients under each type; none if another study describes one of them."""
    for patient_id in await erasing.patients_claimed(engine, study_ids):
        if set(await erasing.studies_claiming(engine, patient_id)) - set(study_ids):
            return frozenset()
    rows = await engine.fetch(intake.KEPT, study_ids=json.dumps(list(study_ids)))
    numbers = set[HospitalNumber]()
    for known in (kept(bytes(row[2])) for row in rows):
        for system, value in patient_numbers([known.study], known.facts.old_numbers, configuration.site):
            numbers.update([HospitalNumber("patient", system, one, value) for one in sorted(PATIENT_TYPES - {""})])
    return frozenset(numbers)


async def _messages(engine: Engine, configuration: Configuration, found: OrdersToErase) -> tuple[list[int], ...]:
    """Return the messages about the patient or the orders, those of others that name the patient, and such merges."""
    reader = MessageNumbers(configuration, await first_names(engine))
    own, others, merges = list[int](), list[int](), list[int]()
    authorities, after = Authorities(configuration.site), 0
    stated = [authorities.patient_numbers(one.order.patient.numbers, one.order.source) for one in found.orders]
    patient = found.numbers.union(*stated)
    while rows := await engine.do(partial(messages_with_bytes, after, _AT_A_TIME)):
        after = rows[-1][0]
        for number, source, body in rows:
            named = reader.of(source, decompressed(body))
            if _is_about(named, found, patient):
                own.append(number)
            elif not found.numbers.isdisjoint(named.patients | named.other_patients):
                (merges if named.merged else others).append(number)
    return own, others, merges


def _is_about(named: NamedNumbers, found: OrdersToErase, patient: frozenset[HospitalNumber]) -> bool:
    """True for a message with a number of the patient, or about an order that goes and about nobody else.

    Each group of a merge must have a number of the patient: the groups of others are still to be applied. If the
    patient stays, with other studies, only the orders count, not the patient's numbers and visits.
    """
    if named.merged:
        return not any(found.numbers.isdisjoint(one) for one in named.merged)
    if not found.numbers.isdisjoint(named.patients):
        return True
    keys = found.keys if found.numbers else {key for key in found.keys if number_of(key) is None}
    return not keys.isdisjoint(named.texts) and compare_numbers(named.patients, patient) != "differs"
