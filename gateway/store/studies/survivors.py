"""Find the Patient that stands for others since a merge, and the others.

https://hl7.org/fhir/R4/patient.html#merge, decision D48.
Proved by tests/contract/test_merged_messages.py and tests/gateway/cli/test_patients.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.store.compression.stored_bytes import served_version
from gateway.store.database.engine import Engine
from gateway.store.studies import versions
from gateway.store.studies.claims import newest_claims
from mappings.fhir.merged_patient import replaced_ids, survivor_id


async def survivor_of(engine: Engine, patient_id: str) -> str:
    """Return the id of the Patient who replaces this one, directly or by others; its own id if none does.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return (await merged_into(engine, patient_id) or [patient_id])[-1]


async def merged_into(engine: Engine, patient_id: str, organizations: Sequence[str] | None = None) -> list[str]:
    """Return this Patient and those who replace it, one after the other; the last one stands for all. Empty: unknown.

    With `organizations`, the addresses of facilities, only what their studies say counts.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    line: list[str] = []
    while patient_id and patient_id not in line:
        known = await _patient(engine, patient_id, organizations)
        line += [patient_id] if known else []
        patient_id = survivor_id(known)
    return line


async def with_replaced(engine: Engine, patient_ids: Iterable[str]) -> list[str]:
    """Return these patients with all whom they replace, each once: messages before the merge are about those.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    every = list(dict.fromkeys(patient_ids))
    replaced = [one for patient_id in every for one in replaced_ids(await _patient(engine, patient_id))]
    return list(dict.fromkeys((*every, *replaced)))


async def _patient(engine: Engine, patient_id: str, organizations: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the current version of a Patient, or what studies of some facilities say; empty if there is none."""
    address = f"Patient/{patient_id}"
    if organizations is not None:
        body = (await newest_claims(engine, [address], organizations)).get(address, b"{}")
        return dict(json.loads(body))
    rows = await engine.fetch(versions.CURRENT_OF, addresses=json.dumps([address]))
    return next((json.loads(served_version(row[4], row[1], row[2])) for row in rows), {})
