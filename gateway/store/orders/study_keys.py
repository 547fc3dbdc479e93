"""Keep the numbers by which stored studies look for their orders, and request a new ingest of those that have some.

Carries out no clause of a standard; decision D48. A transaction that changes orders, and one that ingests a study, both
take `lock_names` first: the study then finds the order, or the order finds the study.
Proved by tests/contract/test_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Final

from gateway.store.database.controls import ASK
from gateway.store.database.statements import Statement, Steps, ask, ask_each

_STUDIES: Final = Statement("SELECT DISTINCT study_id FROM study_key WHERE key IN listed(:keys) ORDER BY study_id")
_DROP: Final = Statement("DELETE FROM study_key WHERE study_id = :study_id AND key NOT IN listed(:keys)")
_ADD: Final = Statement("INSERT INTO study_key (key, study_id) VALUES (:key, :study_id) ON CONFLICT DO NOTHING")
OF_STUDY: Final = Statement("SELECT key FROM study_key WHERE study_id = :study_id ORDER BY key")


def lock_names(keys: Iterable[str]) -> list[str]:
    """Return the names of the locks of these numbers, for `locks.take`."""
    return [f"number {key}" for key in keys]


def put_study_keys(study_id: str, keys: Collection[str]) -> Steps[None]:
    """Store the numbers of a study in place of those before."""
    yield from ask(_DROP, study_id=study_id, keys=json.dumps(sorted(keys)))
    yield from add_study_keys(study_id, keys)


def add_study_keys(study_id: str, keys: Collection[str]) -> Steps[None]:
    """Store further numbers of a study, until its next ingest."""
    yield from ask_each(_ADD, [{"key": key, "study_id": study_id} for key in sorted(keys)])


def studies_with(keys: Collection[str]) -> Steps[list[str]]:
    """Return the stored studies that have one of these numbers."""
    return [str(study_id) for (study_id,) in (yield from ask(_STUDIES, keys=json.dumps(sorted(keys))))]


def refresh_studies(keys: Collection[str], now: int) -> Steps[list[str]]:
    """Request a new ingest of each stored study that has one of these numbers; return their ids."""
    if not keys:
        return []
    study_ids = yield from studies_with(keys)
    yield from ask_each(ASK, [{"verb": "refresh", "argument": one, "asked": now} for one in study_ids])
    return study_ids
