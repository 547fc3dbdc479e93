"""Read which order numbers the gateway itself answered to AutoScribe: they are no evidence when they come back.

AutoScribe REST API, webhook `patient_study.enrichment_requested`; decision D48. No answer names a number yet.
Proved by tests/contract/test_known_hospital.py.
"""

from __future__ import annotations

from gateway.store.database.engine import Engine


async def told_numbers(engine: Engine, study_instance_uid: str) -> frozenset[str]:
    """Return the numbers that AutoScribe was told about the study with that UID."""
    return frozenset()
