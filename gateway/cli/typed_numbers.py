"""Find the authority of a patient number that an operator typed, for a patient whom hospitals' orders alone describe.

HL7 v2.5.1 §2.A.14 (CX); decisions D11, D48, D49. A number is somebody's only together with its authority: the one under
which there are orders. If several have given it out, the operator writes which, as CX does: 4711^^^CITY.
Proved by tests/contract/test_erasing_by_number.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.feed.operator.arguments import wrong
from gateway.ingest.orders.sources import HospitalSource, authority_of, survey_sources
from gateway.settings import Configuration
from gateway.store.database.engine import Engine
from gateway.store.orders.erasing import source_names
from gateway.store.orders.keys import number_text
from gateway.store.orders.known_orders import orders_of_keys
from gateway.store.orders.source_names import first_names
from mappings.hospital.authorities import PATIENT_TYPES, Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import Authority, IssuedNumber

TYPED: Final = "standard input"
NOBODY: Final = "no stored study describes this patient, and no order"
PATIENT_ID: Final = (
    "Write the id of the Patient resource. If only messages that are not applied name the patient, write the number"
    " with ^^^ and the namespace of its authority behind it."
)
_BEHIND: Final = "^^^"


async def typed_numbers(engine: Engine, configuration: Configuration, text: str) -> frozenset[HospitalNumber]:
    """Return a typed number under its authority, once for each type.

    Raises:
        ConfigError: no authority is known under which it is somebody's, or several are.
        StoreUnavailable: the store cannot be reached.
    """
    value, _, namespace = (one.strip() for one in text.partition(_BEHIND))
    first = await first_names(engine)
    issuers = {*_of_settings(configuration, first, namespace)}
    if not namespace:
        issuers |= {(Authority(), OrderSource(one)) for one in await source_names(engine)}
    authorities = Authorities(configuration.site)
    made = [authorities.number("patient", IssuedNumber(value, one), source) for one, source in issuers]
    every = {one.authority: _of_each_type(one) for one in made if one.authority}
    known = {
        authority: numbers
        for authority, numbers in every.items()
        if await orders_of_keys(engine, map(number_text, numbers))
    }
    if len(known) > 1:
        remedy = f"Write {_BEHIND} and the namespace of its authority behind the number, such as 4711^^^CITY."
        raise wrong(TYPED, "several authorities have given out this number", remedy)
    found = list((known or every).values())
    if len(found) != 1:
        raise wrong(TYPED, NOBODY, PATIENT_ID)
    return found[0]


def _of_settings(
    configuration: Configuration, first: Mapping[str, str], namespace: str
) -> Iterator[tuple[Authority, OrderSource]]:
    """Yield the authorities that sources may name, with the sources, and those of the facilities' patients."""
    sources: list[HospitalSource] = [one.as_stored(first) for one in survey_sources(configuration)[0]]
    for source in sources:
        named = (*source.rules.authorities, *([] if namespace else [Authority()]))
        yield from ((one, source.order_source) for one in named if namespace in ("", one.namespace))
    for facility in configuration.site.facilities.values():
        if facility.mrn and namespace in ("", facility.mrn.namespace):
            yield authority_of(facility.mrn.namespace, facility.mrn.system), OrderSource("")


def _of_each_type(number: HospitalNumber) -> frozenset[HospitalNumber]:
    return frozenset([number._replace(type_code=code) for code in PATIENT_TYPES - {""}])
