"""Read what the studies of some facilities say of patients: the newest claim about each.

Carries out no clause of a standard; decisions D12 and D41.
Proved by tests/contract/test_claims.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from gateway.store.compression.stored_bytes import decompressed
from gateway.store.database.engine import Engine
from gateway.store.studies.fragments import Sql
from gateway.store.studies.limited import limited
from gateway.store.studies.within import in_facilities
from mappings.fhir.merged_patient import described

_PATIENT: Final = "Patient/"
_OF_CLAIMS: Final = (
    "SELECT c.patient_id, c.body FROM claim c WHERE c.patient_id IN listed(:patient_ids){limit}"
    " ORDER BY c.patient_id, c.study_date, c.signed, c.study_id"
)


async def newest_claims(engine: Engine, addresses: Sequence[str], organizations: Sequence[str]) -> dict[str, bytes]:
    """Return the Patient, as FHIR JSON, of the newest study of these facilities, by address.

    The order is that of `study_write`: study date, signature, study id.
    """
    if not organizations:
        return {}
    statement, values = limited(_OF_CLAIMS, Sql(*in_facilities("c.study_id", organizations)))
    patient_ids = json.dumps([one.removeprefix(_PATIENT) for one in addresses])
    rows = await engine.fetch(statement, patient_ids=patient_ids, **values)
    claims: dict[str, dict[bytes, None]] = {}
    for patient_id, packed in rows:
        contents, claim = claims.setdefault(f"{_PATIENT}{patient_id}", {}), decompressed(packed)
        contents.pop(claim, None)  # each content once, at the place of its newest study
        contents[claim] = None
    return {address: body for address, contents in claims.items() if (body := described([*contents])) is not None}
