"""Find the authorities under which the store has orders or merges of a patient number, whatever the settings name.

HL7 v2.5.1 §2.A.14 (CX), decisions D48, D49. A key begins with its authority, and the database has few: one is read
after the other, each by an index.
Proved by tests/contract/test_erasing_by_number.py.
"""

from __future__ import annotations

import json
from typing import Final

from gateway.index.keys import SEPARATOR, bounded
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, storable
from gateway.store.orders.keys import PATIENT, number_text
from mappings.hospital.authorities import PATIENT_TYPES, HospitalNumber

_START: Final = f"{PATIENT}{SEPARATOR}"
_BEYOND: Final = chr(ord(SEPARATOR) + 1)
_NEXT_KEY: Final = Statement(
    "SELECT key FROM order_key WHERE key >= :first AND key < :beyond ORDER BY key LIMIT 1",
)
_NEXT_ISSUER: Final = Statement(
    f"SELECT authority FROM number_change WHERE kind = '{PATIENT}' AND authority > :after ORDER BY authority LIMIT 1"  # noqa: S608 (constants)
)
_HAS_ORDER: Final = Statement("SELECT hospital_order FROM order_key WHERE key IN listed(:keys) LIMIT 1")
_HAS_CHANGE: Final = Statement(
    f"SELECT number FROM number_change WHERE kind = '{PATIENT}' AND authority = :authority"  # noqa: S608 (constants)
    " AND (prior = :value OR surviving = :value) LIMIT 1"
)


def of_each_type(authority: str, value: str) -> frozenset[HospitalNumber]:
    """Return a patient number once for each type of table 0203; `value` is in the form for comparison (`mrn_key`)."""
    return frozenset([HospitalNumber(PATIENT, authority, code, value) for code in PATIENT_TYPES - {""}])


async def authorities_having(engine: Engine, value: str) -> set[str]:
    """Return the authorities under which there are orders or merged numbers with this value (`mrn_key`).

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = set[str]()
    first = _START
    while rows := await engine.fetch(_NEXT_KEY, first=first, beyond=_START[:-1] + _BEYOND):
        authority = str(rows[0][0]).split(SEPARATOR)[1]
        keys = json.dumps(sorted(map(number_text, of_each_type(authority, value))))
        if await engine.fetch(_HAS_ORDER, keys=keys):
            found.add(authority)
        first = f"{_START}{authority}{_BEYOND}"
    authority = ""
    while rows := await engine.fetch(_NEXT_ISSUER, after=authority):
        authority = str(rows[0][0])
        if await engine.fetch(_HAS_CHANGE, authority=authority, value=bounded(storable(value))):
            found.add(authority)
    return found
