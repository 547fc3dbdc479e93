"""Lock studies and patients until a transaction ends, so that several processes ingest at the same time.

https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS; decisions D25 and D29. Every transaction
takes its locks in one order, so that no two wait for each other: these first, then rows of studies by id, then all
other rows, and the row of `tick` last. SQLite has one writer at a time, and needs none of them.
Proved by tests/contract/test_shared_commits.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from gateway.store.database.engine import PerDialect, Statement, Steps, ask

_EVERY_STUDY: Final = 0x7374_7564  # any number; those of names are beyond it
_TAKE: Final = PerDialect(
    {
        "postgresql": Statement(
            f"SELECT pg_advisory_xact_lock_shared({_EVERY_STUDY}) UNION ALL SELECT pg_advisory_xact_lock(CAST(k.value"  # noqa: S608 (constants)
            " AS BIGINT)) FROM unnest(string_to_array(:numbers, ' ')) AS k (value)"
        )
    }
)
REVISION: Final = Statement("SELECT revision FROM study WHERE study_id = :study_id FOR UPDATE")
# In one order, so that two processes that lock the same studies do not deadlock
REVISIONS: Final = Statement(
    "SELECT study_id, revision FROM study WHERE study_id IN listed(:study_ids) ORDER BY study_id FOR UPDATE"
)
_TAKE_ALONE: Final = PerDialect({"postgresql": Statement(f"SELECT pg_advisory_xact_lock({_EVERY_STUDY})")})


class Outdated(Exception):
    """Another process wrote the study since it was read. Fetch and map it again."""


def study(study_id: str) -> str:
    """Return the name of the lock of a study."""
    return f"study {study_id}"


def patient(patient_id: str) -> str:
    """Return the name of the lock of a patient: what studies claim about the patient."""
    return f"patient {patient_id}"


def uid(study_instance_uid: str) -> str:
    """Return the name of the lock of everything known under a study's UID."""
    return f"uid {study_instance_uid}"


def take(names: Iterable[str] = ()) -> Steps[None]:
    """Take the named locks, as the first step of a transaction. Waits while a process holds all studies."""
    yield from ask(_TAKE, numbers=" ".join(map(str, sorted(map(_number, names)))))


def take_alone() -> Steps[None]:
    """Lock all studies, as the first step of a transaction: every ingest has committed, and none begins."""
    yield from ask(_TAKE_ALONE)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), signed=True)
