"""Find the Patient that stands for others since a merge, and the others.

https://hl7.org/fhir/R4/patient.html#merge, decision D48.
Proved by tests/contract/test_merged_messages.py and tests/gateway/cli/test_patients.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from gateway.store.compression.stored_bytes import served_version
from gateway.store.database.engine import Engine
from gateway.store.studies import versions
from mappings.fhir.merged_patient import replaced_ids, survivor_id

_MOST_STEPS: Final = 50


async def survivor_of(engine: Engine, patient_id: str) -> str:
    """Return the id of the Patient who replaces this one, directly or by others; its own id if none does.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    for _ in range(_MOST_STEPS):
        following = survivor_id(await _patient(engine, patient_id))
        if not following:
            break
        patient_id = following
    return patient_id


async def with_replaced(engine: Engine, patient_ids: Iterable[str]) -> list[str]:
    """Return these patients with all whom they replace, each once: messages before the merge are about those.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    every = list(dict.fromkeys(patient_ids))
    replaced = [one for patient_id in every for one in replaced_ids(await _patient(engine, patient_id))]
    return list(dict.fromkeys((*every, *replaced)))


async def _patient(engine: Engine, patient_id: str) -> dict[str, Any]:
    """Return the current version of a Patient; empty if there is none."""
    rows = await engine.fetch(versions.CURRENT_OF, addresses=json.dumps([f"Patient/{patient_id}"]))
    return next((json.loads(served_version(row[4], row[1], row[2])) for row in rows), {})
