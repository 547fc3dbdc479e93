"""List patient identity conflicts (one patient id, two apparent persons), and store operators' verdicts on them.

Carries out no clause of a standard; decision D12.
Proved by tests/contract/test_patients.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.instants import instant, micros
from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.feed.audit import noted
from gateway.store.studies.fragments import Sql
from gateway.store.studies.limited import limited
from gateway.store.studies.search import SECONDS
from gateway.store.studies.within import held_apart, in_facilities

_EVERY: Final = Statement(
    "SELECT patient_id, study_id, 'held apart' AS state, since FROM conflict"
    " UNION ALL SELECT patient_id, study_id, verdict || CASE WHEN reopened IS NULL THEN '' ELSE ' no longer counts'"
    " END, coalesce(reopened, decided) FROM verdict"
    " UNION ALL SELECT c.patient_id, c.study_id, 'contradicted', (SELECT max(r.first_seen) FROM report r"
    " WHERE r.study_id = c.study_id) FROM claim c WHERE c.study_id IN (SELECT i.study_id FROM issue i"
    " WHERE i.code = 'identity-conflict') AND (NOT EXISTS (SELECT 1 FROM conflict f WHERE f.study_id = c.study_id)"
    " OR EXISTS (SELECT 1 FROM claim k WHERE k.study_id = c.study_id AND k.patient_id <> c.patient_id))"
    " AND NOT EXISTS (SELECT 1 FROM verdict v WHERE v.patient_id = c.patient_id AND v.study_id = c.study_id"
    " AND v.reopened IS NULL)"
    " ORDER BY 1, 2, 3"
)
_DISPUTED: Final = (
    "SELECT 1 FROM (SELECT c.patient_id, c.study_id FROM conflict c WHERE c.patient_id IN listed(:patient_ids)"
    " AND {between} UNION ALL SELECT c.patient_id, c.study_id FROM claim c WHERE c.patient_id IN listed(:patient_ids)"
    "{limit} AND EXISTS (SELECT 1 FROM issue i WHERE i.study_id = c.study_id AND i.code = 'identity-conflict')) d"
    " WHERE NOT EXISTS (SELECT 1 FROM verdict v WHERE v.patient_id = d.patient_id AND v.study_id = d.study_id"
    " AND v.reopened IS NULL) LIMIT 1"
)
_DESCRIBED: Final = Statement("SELECT 1 FROM claim WHERE patient_id = :patient_id LIMIT 1")
_NAMED: Final = Statement(
    "SELECT patient_id FROM claim WHERE study_id = :study_id"
    " UNION SELECT patient_id FROM conflict WHERE study_id = :study_id"
    " UNION SELECT patient_id FROM verdict WHERE study_id = :study_id"
)
_DECIDE: Final = Statement(
    "INSERT INTO verdict (patient_id, study_id, verdict, reason, decided)"
    " SELECT :patient_id, study_id, :verdict, :reason, :decided FROM study WHERE study_id = :study_id"
    " ON CONFLICT (patient_id, study_id) DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason,"
    " decided = excluded.decided, judged = '', reopened = NULL RETURNING study_id"
)
# An ingest that runs right now does not know the verdict: the new revision makes it start again
_MOVE_ON: Final = Statement("UPDATE study SET revision = revision + 1 WHERE study_id = :study_id")


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """Patient id that a study names, and its state.

    `held apart`: other studies use the id for another person. `contradicted`: the study's own reports name several
    people, this one among them. `link` or `separate`: an operator's verdict; `no longer counts` is added once the study
    names another person than the one judged.
    """

    patient_id: str
    study_id: str
    state: str
    since: datetime


async def every(engine: Engine) -> list[StoredIdentity]:
    """Return all conflicts, between studies and within one, and all verdicts."""
    rows = await engine.fetch(_EVERY)
    return [StoredIdentity(str(row[0]), str(row[1]), str(row[2]), instant(int(row[3]))) for row in rows]


async def named(engine: Engine, study_id: str) -> set[str]:
    """Return the ids of the patients that a study names or is held apart from; empty if it is not stored."""
    return {str(patient_id) for (patient_id,) in await engine.fetch(_NAMED, study_id=study_id)}


async def is_disputed(engine: Engine, patient_ids: Sequence[str], organizations: Sequence[str] | None = None) -> bool:
    """True if a conflict about one of these patients is open, between studies or within one (`every`).

    With `organizations`, the addresses of facilities, only their studies count.

    Raises:
        StoreTooSlow: it took too long.
    """
    between, limit = Sql("1 = 1"), Sql("1 = 1")
    if organizations is not None:
        between, limit = Sql(*held_apart(organizations)), Sql(*in_facilities("c.study_id", organizations))
    statement, values = limited(_DISPUTED, limit, between=between)
    compiled = statement.compiled(engine.dialect)
    asked = compiled.positional({"patient_ids": json.dumps(list(patient_ids)), **values})
    # A patient may have very many studies
    return bool(await engine.scan(compiled.sql, asked, SECONDS, tries_here=True))


async def is_described(engine: Engine, patient_id: str) -> bool:
    """True if a study describes the patient now; a Patient that all studies left stays as it was."""
    return bool(await engine.fetch(_DESCRIBED, patient_id=patient_id))


async def decide(  # noqa: PLR0913, PLR0917 (the parts of a verdict)
    engine: Engine, patient_id: str, study_id: str, verdict: str, reason: str, at: datetime
) -> bool:
    """Store a verdict in place of any earlier one; False if no such study is stored."""
    values = {"verdict": verdict, "reason": reason, "decided": micros(at)}

    def work() -> Steps[bool]:
        yield from ask(_MOVE_ON, study_id=study_id)
        is_known = bool((yield from ask(_DECIDE, patient_id=patient_id, study_id=study_id, **values)))
        if is_known:
            yield from noted(f"identity-{verdict}", f"Patient/{patient_id} {study_id}", reason, micros(at))
        return is_known

    return await engine.do(work)
