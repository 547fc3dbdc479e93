"""Store the patient numbers that AutoScribe was told in answer to its questions, and read what it says of a study.

AutoScribe REST API, webhooks `patient_study.enrichment_requested` and `clinical_context.enrichment_requested`; decision
D48. A number that AutoScribe has from the gateway is no evidence when it comes back.
Proved by tests/contract/test_told.py.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Statement, Steps, ask_each, storable, uid_key

_TELL: Final = Statement(
    "INSERT INTO enrichment_answer (study_instance_uid, number, is_own, answered)"
    " VALUES (:study_instance_uid, :number, :is_own, :answered) ON CONFLICT (study_instance_uid, number) DO UPDATE"
    " SET is_own = enrichment_answer.is_own * excluded.is_own, answered = excluded.answered"
)
_TOLD: Final = Statement(
    "SELECT number FROM enrichment_answer WHERE study_instance_uid = :study_instance_uid AND is_own = 0"
)
_SAID: Final = Statement(
    "SELECT accession_number, patient_id FROM enrichment WHERE study_instance_uid = :study_instance_uid"
)


async def note_told(
    engine: Engine, study_instance_uid: str, numbers: Collection[str], beyond: Collection[str], at: datetime
) -> None:
    """Store the numbers of an answer before it is given; those of `beyond` AutoScribe had not said itself.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    uid, instant = uid_key(study_instance_uid), micros(at)
    rows = [
        {"study_instance_uid": uid, "number": storable(one), "is_own": int(one not in beyond), "answered": instant}
        for one in sorted(numbers)
    ]

    def work() -> Steps[None]:
        yield from ask_each(_TELL, rows)

    await engine.do(work)


async def told_numbers(engine: Engine, study_instance_uid: str) -> frozenset[str]:
    """Return the patient numbers that AutoScribe has from the gateway alone, for the study of that UID.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_TOLD, study_instance_uid=uid_key(study_instance_uid))
    return frozenset(str(number) for (number,) in rows)


async def said_numbers(engine: Engine, study_instance_uid: str) -> tuple[str, str]:
    """Return accession number and patient id that AutoScribe read from the study's images; empty if unknown.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_SAID, study_instance_uid=uid_key(study_instance_uid))
    accession_number, patient_id = rows[0] if rows else ("", "")
    return str(accession_number or ""), str(patient_id or "")
