"""Read the stored studies of a patient, the newest first, as the last ingest of each kept it.

Carries out no clause of a standard; decisions D12 and D48.
Proved by tests/contract/test_told.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement

_NEWEST: Final = Statement(
    "SELECT study_id FROM claim WHERE patient_id IN listed(:patient_ids)"
    " GROUP BY study_id ORDER BY max(study_date) DESC, max(signed) DESC, study_id DESC LIMIT :most"
)
_KEPT: Final = Statement(
    "SELECT study_id, kept FROM study WHERE study_id IN listed(:study_ids) AND is_external = 0 AND has_signed = 1"
)
_DISPUTED: Final = Statement("SELECT study_id FROM conflict WHERE patient_id IN listed(:patient_ids) LIMIT 1")


async def studies_of(engine: Engine, patient_ids: Iterable[str], most: int) -> list[bytes]:
    """Return the packed states of a patient's signed studies; none while studies dispute who the patient is.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    wanted = json.dumps(sorted(patient_ids))
    if await engine.fetch(_DISPUTED, patient_ids=wanted):
        return []
    newest = [str(study_id) for (study_id,) in await engine.fetch(_NEWEST, patient_ids=wanted, most=most)]
    states = {str(one): bytes(kept) for one, kept in await engine.fetch(_KEPT, study_ids=json.dumps(newest))}
    return [states[one] for one in newest if one in states]
