"""Find the authority of a typed patient number, for a patient who has only orders and no study.

HL7 v2.5.1 §2.A.14 (CX); decisions D11, D48, D49. A number is somebody's only together with its authority: the one under
which the store has it. If several have given it out, the operator writes which, as CX does: 4711^^^CITY.
Proved by tests/contract/test_erasing_by_number.py.
"""

from __future__ import annotations

from typing import Final

from gateway.feed.operator.arguments import wrong
from gateway.ingest.orders.sources import survey_sources
from gateway.settings import Configuration
from gateway.store.database.engine import Engine
from gateway.store.orders.numbers import authorities_having, of_each_type
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import Authority, IssuedNumber
from mappings.patient.identifiers import mrn_key

TYPED: Final = "standard input"
NOBODY: Final = "no stored study describes this patient, and no order"
PATIENT_ID: Final = (
    "Write the id of the Patient resource. If only messages that are not applied name the patient, write the number"
    " with ^^^ and the namespace of its authority behind it."
)
_BEHIND: Final = "^^^"
_NAMED: Final = "hd:"  # an authority that no facility has stands for itself (`Authorities.number`)


def value_and_issuer(text: str) -> tuple[str, str]:
    """Split a typed number into the number and the namespace or system behind it (empty if none)."""
    value, _, issuer = (one.strip() for one in text.partition(_BEHIND))
    return value, issuer


async def typed_numbers(engine: Engine, configuration: Configuration, text: str) -> frozenset[HospitalNumber]:
    """Return a typed number with its authority, once for each type code.

    Raises:
        ConfigError: no authority is known under which it is somebody's, or several are.
        StoreUnavailable: the store cannot be reached.
    """
    value, issuer = value_and_issuer(text)
    found = await authorities_having(engine, mrn_key(value))
    if issuer:
        named = named_in_settings(configuration, issuer)
        found = {one for one in found if one in named or _is_of(one, issuer)} or named
    if len(found) > 1:
        remedy = f"Write {_BEHIND} and the namespace or the system of its authority behind it, such as 4711^^^CITY."
        raise wrong(TYPED, "several authorities have given out this number", remedy)
    if not found or not mrn_key(value):
        raise wrong(TYPED, NOBODY, PATIENT_ID)
    return of_each_type(found.pop(), mrn_key(value))


def namespace_and_system(authority: str) -> tuple[str, str]:
    """Split a stored authority into namespace and FHIR system."""
    if not authority.startswith(_NAMED):
        return "", authority
    namespace, _, system = authority.removeprefix(_NAMED).partition("&")
    return namespace, system


def named_in_settings(configuration: Configuration, issuer: str) -> set[str]:
    """Return the authorities in the settings (sources, facilities) that have this namespace or system."""
    authorities = Authorities(configuration.site)

    def stored(one: Authority) -> str:
        return authorities.number("patient", IssuedNumber("", one), OrderSource("")).authority

    written = {authority for source in survey_sources(configuration)[0] for authority in source.rules.authorities}
    named = {stored(one) for one in written if issuer == one.namespace or _is_of(stored(one), issuer)} - {""}
    return named.union({issuer, stored(Authority(issuer))} & authorities.patient_systems)


def _is_of(authority: str, issuer: str) -> bool:
    """True if a stored authority has this namespace or this system."""
    return issuer in namespace_and_system(authority)
