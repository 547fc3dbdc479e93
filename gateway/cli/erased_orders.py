"""Find the orders and messages of hospitals to erase together with a patient's studies.

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17, erasure); decisions D48, D49. Messages are found only by
reading each that still has its bytes, so they are read before the erasure begins. It reads what came since itself.
Proved by tests/contract/test_erasing_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from gateway.cli.numbered_patients import study_of_numbers
from gateway.cli.typed_numbers import (
    NOBODY,
    PATIENT_ID,
    TYPED,
    namespace_and_system,
    typed_numbers,
    value_and_issuer,
)
from gateway.feed.operator.arguments import wrong
from gateway.ingest.meet_orders import patient_numbers
from gateway.ingest.orders.named_numbers import MessageNumbers, NamedNumbers
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import authority_of, sources_of
from gateway.settings import Configuration
from gateway.store import erasing, intake
from gateway.store.database.engine import Engine
from gateway.store.database.kept import decompressed, kept
from gateway.store.orders.hospital import OrderReader
from gateway.store.orders.inbound import first_names
from gateway.store.orders.numbers import authorities_having, changes_of, number_of
from gateway.store.orders.upkeep import (
    HospitalErasure,
    Judge,
    OrdersToErase,
    Whose,
    messages_with_bytes,
    orders_to_erase,
    source_names,
    study_having,
)
from mappings.hospital.authorities import PATIENT_TYPES, Authorities, HospitalNumber
from mappings.hospital.events import Authority
from mappings.hospital.groups import compare_numbers, hospital_person
from mappings.patient.identifiers import mrn_key
from mappings.patient.people import are_two_people


async def see_that_numbers_are_read(engine: Engine, configuration: Configuration) -> None:
    """Refuse the erasure while stored orders or merges still have the authorities of former settings.

    Without sources in the settings nothing is read anew, and all stays as it is.

    Raises:
        ConfigError: the service has not yet read all anew under these settings, or a source is faulty.
        StoreUnavailable: the store cannot be reached.
    """
    names = await first_names(engine)
    rules = {one.stored_name: one.rules for one in (one.as_stored(names) for one in sources_of(configuration))}
    is_used = await OrderReader(engine, Authorities(configuration.site)).is_used()
    if rules and is_used and not await OrderKeys(engine, Authorities(configuration.site), rules).is_done():
        problem = "numbers of orders and merges are not read anew yet under the authorities of these settings"
        raise wrong("patients erase", problem, "Start the service with these settings, and wait for `orders-rekeyed`.")


async def hospital_erasure(
    engine: Engine, configuration: Configuration, study_ids: Sequence[str]
) -> HospitalErasure | None:
    """Return the hospital part of an erasure of these studies; None if no hospital ever sent anything.

    Raises:
        ConfigError: a held merge ties the patient's number to somebody else's.
        StoreUnavailable: the store cannot be reached.
    """
    if not await OrderReader(engine, Authorities(configuration.site)).is_used():
        return None
    return await _erasure(engine, configuration, study_ids, await _numbers(engine, configuration, study_ids))


async def erasure_of_number(engine: Engine, configuration: Configuration, text: str) -> HospitalErasure:
    """Return the hospital part of an erasure, by its typed number, of a patient who has orders but no study.

    `text` is the number, with `^^^` and the namespace or system of its authority behind it if several gave it out.

    Raises:
        ConfigError: no order or message has the number, it is not clear whose it is, or a stored study has it.
        StoreUnavailable: the store cannot be reached.
    """
    value, _ = value_and_issuer(text)
    numbers = await typed_numbers(engine, configuration, text)
    if any(Authorities(configuration.site).may_be_anybodys(one, value) for one in numbers):
        raise wrong(TYPED, "this number may be anybody's", "Its orders go 90 days after they were last heard of.")
    made = await _erasure(engine, configuration, (), numbers)
    merged = [one.change for one in await changes_of(engine, numbers) if not one.held]
    every = made.found.numbers.union(numbers, *merged)
    if study_id := await study_having(engine, every) or await study_of_numbers(engine, every, configuration):
        remedy = f"Look at it with `orders show {study_id}`; --study erases it with the orders that it answers."
        raise wrong(study_id, "this study has the number, or may have it, or read orders under it", remedy)
    people = list(dict.fromkeys(hospital_person(one.order.patient) for one in made.found.orders))
    if any(are_two_people(one, other) for place, one in enumerate(people) for other in people[:place]):
        raise wrong(TYPED, "orders of two people have this number", "Let the hospital correct the wrong ones first.")
    is_stored = bool({one.authority for one in numbers} & await authorities_having(engine, mrn_key(value)))
    if not is_stored and "patient" not in made.messages.values():
        raise wrong(TYPED, NOBODY, PATIENT_ID)
    return made


async def _erasure(
    engine: Engine, configuration: Configuration, study_ids: Sequence[str], numbers: frozenset[HospitalNumber]
) -> HospitalErasure:
    authorities = Authorities(configuration.site)
    found = await engine.do(partial(orders_to_erase, study_ids, numbers, authorities))
    if found.disputed:
        problem = "a merge that is held ties the patient's number to somebody else's, who would be in doubt no more"
        remedy = (
            "Settle it first: `orders messages` has its message, for `orders set-aside`, or the hospital sends a merge."
        )
        raise wrong("patients erase", problem, remedy)
    judge = _judge(MessageNumbers(configuration, await first_names(engine), _issuers(found)), authorities)
    messages, read_to = await _messages(engine, found, judge)
    return HospitalErasure(authorities, numbers, found, judge, messages, read_to)


async def _numbers(engine: Engine, configuration: Configuration, study_ids: Sequence[str]) -> frozenset[HospitalNumber]:
    """Return all numbers of the studies' patients; none if another study describes one of them."""
    for patient_id in await erasing.patients_claimed(engine, study_ids):
        if set(await erasing.studies_claiming(engine, patient_id)) - set(study_ids):
            return frozenset()
    rows = await engine.fetch(intake.KEPT, study_ids=json.dumps(list(study_ids)))
    numbers = set[HospitalNumber]()
    for known in (kept(bytes(row[2])) for row in rows):
        for system, value in patient_numbers([known.study], known.facts.old_numbers, configuration.site):
            numbers.update([HospitalNumber("patient", system, one, value) for one in sorted(PATIENT_TYPES - {""})])
    return frozenset(numbers)


async def _messages(engine: Engine, found: OrdersToErase, judge: Judge) -> tuple[dict[int, Whose], dict[str, int]]:
    """Judge each stored message that names the patient; also return how far each source was read."""
    messages, read_to = dict[int, Whose](), dict[str, int]()
    for source in await source_names(engine):
        while rows := await engine.do(partial(messages_with_bytes, source, read_to.get(source, 0))):
            read_to[source] = rows[-1][0]
            judged = ((number, judge(found, source, body)) for number, body in rows)
            messages |= {number: whose for number, whose in judged if whose}
    return messages, read_to


def _issuers(found: OrdersToErase) -> list[Authority]:
    """Return the authorities of the patient's numbers as orders state them; settings may not name them any more."""
    stated = [number.authority for one in found.orders for number in one.order.patient.numbers]
    stored = sorted({namespace_and_system(one.authority) for one in found.numbers})
    return list(dict.fromkeys([*stated, *(authority_of(*one) for one in stored)]))


def _judge(reader: MessageNumbers, authorities: Authorities) -> Judge:
    """Build the function that judges a message: about the patient or the orders, or only naming the patient."""

    def judge(found: OrdersToErase, source: str, body: bytes) -> Whose:
        named = reader.of(source, decompressed(body))
        stated = [authorities.patient_numbers(one.order.patient.numbers, one.order.source) for one in found.orders]
        if _is_about(named, found, found.numbers.union(*stated)):
            return "patient"
        if found.numbers.isdisjoint(named.patients | named.other_patients):
            return ""
        return "both" if named.merged else "others"

    return judge


def _is_about(named: NamedNumbers, found: OrdersToErase, patient: frozenset[HospitalNumber]) -> bool:
    """True for a message with a number of the patient, or about an order to erase and about nobody else.

    Each group of a merge must have a number of the patient: the groups of others are still to be applied. If the
    patient stays, with other studies, only the orders count, not the patient's numbers and visits.
    """
    if named.merged:
        return not any(found.numbers.isdisjoint(one) for one in named.merged)
    if not found.numbers.isdisjoint(named.patients):
        return True
    keys = found.keys if found.numbers else {key for key in found.keys if number_of(key) is None}
    return not keys.isdisjoint(named.texts) and compare_numbers(named.patients, patient) != "differs"
