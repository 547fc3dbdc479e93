"""Read a stored study, the orders that share a number with it, and what could keep each from matching.

HL7 v2.5.1 §4.5.3.2 (OBR-2), decisions D12, D48.
Proved by tests/gateway/cli/test_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.ingest.assembly import order_days
from gateway.settings import Configuration
from gateway.store import intake
from gateway.store.database.engine import Engine
from gateway.store.database.kept import Kept, kept
from gateway.store.enrichment import told_numbers
from gateway.store.orders.hospital import StoredOrder, connected, orders_of_keys
from gateway.store.orders.inbound import under_first_names
from gateway.store.orders.numbers import OF_STUDY, changes_of, merges_of
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.match import OrderSearch, order_search
from mappings.hospital.settle_match import NumberedOrders
from mappings.patient.subjects import subjects


@dataclass(frozen=True, slots=True)
class ReadStudy:
    """Stored study with the id of its own patient, and the `search` for its order."""

    kept: Kept
    patient_id: str
    search: OrderSearch


async def read_study(engine: Engine, configuration: Configuration, study_id: str) -> ReadStudy | None:
    """Read a stored study; None if there is none.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(intake.KEPT, study_ids=json.dumps([study_id]))
    if not rows:
        return None
    known = kept(bytes(rows[0][2]))
    subject = subjects(known.study, known.study.reports, configuration.site, known.facts)[study_id]
    told = await told_numbers(engine, known.study.study_instance_uid or "")
    search = order_search(known.study, subject, Authorities(configuration.site), known.facts, told)
    return ReadStudy(known, subject.identity.patient_id, search)


async def near_orders(engine: Engine, study_id: str) -> list[StoredOrder]:
    """Return the orders that share a number with the study, even if only the patient's."""
    keys = [str(key) for (key,) in await engine.fetch(OF_STUDY, study_id=study_id)]
    return await orders_of_keys(engine, keys) if keys else []


async def with_others(
    engine: Engine, configuration: Configuration, search: OrderSearch, orders: Iterable[StoredOrder]
) -> NumberedOrders:
    """Read what decides if a study may match these orders: their groups, other sources' records, and merges.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    authorities = Authorities(configuration.site)
    known = {one.number: one.order for one in (await connected(engine, (), orders, authorities))[1]}
    theirs = [
        number
        for order in known.values()
        for number in authorities.patient_numbers(order.patient.numbers, order.source)
    ]
    types = {number.type_code for number in theirs}
    ours = [HospitalNumber("patient", system, one, value) for system, value in search.patient_numbers for one in types]
    changes = await changes_of(engine, [*theirs, *ours])
    days = await under_first_names(engine, order_days(configuration))
    return NumberedOrders(known, authorities, merges_of(changes), days)
