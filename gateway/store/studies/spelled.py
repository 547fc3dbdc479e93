"""Find the patients who have a number in whatever spelling: with other case, blanks, hyphens or leading zeros.

https://hl7.org/fhir/R4/patient-definitions.html#Patient.identifier, decision D11. The index has identifiers as they are
written, so all of patients are read, in pages: for the seldom act of an operator.
Proved by tests/gateway/cli/test_patients.py.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from gateway.index.keys import SEPARATOR, key
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement
from mappings.patient.identifiers import mrn_key

_IDENTIFIER: Final = key("Patient", "identifier")
_AT_A_TIME: Final = 5_000
_PAGE: Final = Statement(
    "SELECT value, resource FROM term WHERE key = :key AND (value, resource) > (:after, :number)"
    " ORDER BY value, resource LIMIT :most"
)
_ADDRESS: Final = Statement("SELECT address FROM resource WHERE number = :number")


class SpelledNumber(NamedTuple):
    """Identifier of a Patient: `value` in the form for comparison (`mrn_key`), and the FHIR system."""

    patient_id: str
    system: str
    value: str


async def patients_spelling(engine: Engine, values: Collection[str]) -> list[SpelledNumber]:
    """Return the patients who have, or had, one of these numbers (`mrn_key`), from any authority.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = list[tuple[int, str, str]]()
    after, number = "", 0
    while rows := await engine.fetch(_PAGE, key=_IDENTIFIER, after=after, number=number, most=_AT_A_TIME):
        after, number = str(rows[-1][0]), int(rows[-1][1])
        for term, resource in rows:
            code, _, system = str(term).partition(SEPARATOR)
            if (value := mrn_key(code)) in values:
                found.append((int(resource), system, value))
    return [
        SpelledNumber(str(address).removeprefix("Patient/"), system, value)
        for resource, system, value in found
        for (address,) in await engine.fetch(_ADDRESS, number=resource)
    ]
